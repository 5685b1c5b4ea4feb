"""The servers that clients are run against, each for as long as a with block."""

import contextlib
import pathlib
import signal
import socket
import string
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).parent


class Program:
    """A server that says where it listens, in the first line that it prints."""

    def __init__(self, *command):
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if " at " not in line:
            raise SystemExit(f"{command[0]} does not say where it listens, but {line!r}")
        self.endpoint = line.split(" at ")[1].strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        finally:
            self.process.kill()


class Emulator(Program):
    """gchat emulator with credentials and, unless told otherwise, with TLS."""

    def __init__(self, gchat, folder, tls=True):
        self.key, self.certificate = folder / "key.json", folder / "certificate.pem"
        credentials = ["--write-credentials", self.key, *(["--tls-certificate", self.certificate] if tls else [])]
        super().__init__(gchat, "emulator", "--listen", "127.0.0.1:0", "--require-credentials", *credentials)


class Sidecar(Program):
    """gchat sidecar in front of a REST API, which adds nothing to calls."""

    def __init__(self, gchat, upstream, *flags):
        plain = ["--wire", "http", "--no-request-ids", "--no-retries", "--listen", "127.0.0.1:0"]
        super().__init__(gchat, "sidecar", "--upstream", upstream, *plain, *flags)


class OnlyHttp1:
    """A network that lets HTTP/1.1 through and nothing else, in front of a server without TLS."""

    def __init__(self, server):
        self.server = ("127.0.0.1", int(server.rsplit(":", 1)[1]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.cut_off = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self.relay, args=[near], daemon=True).start()

    def relay(self, near):
        with near:
            first = near.recv(65536)
            # How a connection of HTTP/2 begins (RFC 9113, section 3.4).
            if first.startswith(b"PRI") or not first:
                self.cut_off += bool(first)
                return
            with socket.create_connection(self.server) as far:
                far.sendall(first)
                back = threading.Thread(target=self.copy, args=[far, near], daemon=True)
                back.start()
                self.copy(near, far)
                back.join()

    @staticmethod
    def copy(source, target):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


# What Envoy needs to speak to a server over TLS, on one line of its configuration.
TLS = """transport_socket: {name: envoy.transport_sockets.tls, typed_config: {
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext,
        common_tls_context: {alpn_protocols: [h2], validation_context: {trusted_ca: {filename: %s}}}}}"""


class Envoy:
    """Envoy's transcoder of some services, by a descriptor set, in front of a gRPC server."""

    def __init__(self, tools, folder, schema, services, backend, certificate=None):
        # The port that the system gives to who asks for any.
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        names = {
            "PORT": port,
            "SCHEMA": schema,
            "SERVICES": ", ".join(services),
            "TLS": TLS % certificate if certificate else "",
            "BACKEND": backend.rsplit(":", 1)[1],
        }
        file = folder / "envoy.yaml"
        file.write_text(string.Template((HERE / "envoy.yaml").read_text()).substitute(names))
        self.log = open(folder / "envoy.log", "w+", errors="replace")
        command = [f"{tools}/venv/bin/envoy", "-c", file, "--use-dynamic-base-id"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.endpoint = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.process.kill()
                    self.log.seek(0)
                    raise SystemExit(f"Envoy: {self.log.read()[-2000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
