"""llama.cpp's own HTTP server, with a small model, until the input ends.

One thread and no sampling: what it answers depends on the prompt alone.

usage: llama_server.py MODEL.gguf    (prints `LLAMA address` once it listens)
"""

import socket
import sys

import xllamacpp

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"]
params.port = port
params.n_ctx = 8192
params.n_parallel = 1
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
params.sampling.temp = 0.0
params.sampling.seed = 42
params.use_jinja = True
params.model_alias = {"smollm2-135m"}
server = xllamacpp.Server(params)
print("LLAMA", server.listening_address.removeprefix("http://"), flush=True)
sys.stdin.read()
