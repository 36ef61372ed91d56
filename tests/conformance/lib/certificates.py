"""Certificates for one test, made with the openssl program in a folder of their own."""

import pathlib
import shutil
import subprocess
import tempfile


class Authority:
    def __init__(self, name="ca"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-certs-"))
        self.name = name
        self.serial = 100
        self.ca = self.folder / "ca.pem"
        self.ca_key = self.folder / "ca-key.pem"
        self._openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2",
            "-subj", "/O=Weir/CN=" + name, "-keyout", self.ca_key, "-out", self.ca,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def issue(self, name, names="IP:127.0.0.1,DNS:localhost", usage="serverAuth,clientAuth", days=2):
        """(certificate file, key file). days < 0: expired that long ago."""
        cert, key = self.folder / (name + ".pem"), self.folder / (name + "-key.pem")
        request, extensions = self.folder / "request.pem", self.folder / "extensions"
        self._openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            "-subj", "/O=Weir/CN=" + name, "-keyout", key, "-out", request,
        )  # fmt: skip
        extensions.write_text("subjectAltName=%s\nextendedKeyUsage=%s\n" % (names, usage))
        self.serial += 1
        self._openssl(
            "x509 -req -set_serial %d -days %d" % (self.serial, days),
            "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-extfile", extensions, "-out", cert,
        )  # fmt: skip
        return cert, key

    def block(self, pair, more=""):
        """A tls block of the configuration."""
        return 'tls { cert_file: "%s", key_file: "%s", ca_file: "%s", %s }' % (pair[0], pair[1], self.ca, more)

    @staticmethod
    def _openssl(words, *arguments):
        subprocess.run(
            ["openssl", *words.split(), *map(str, arguments)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
