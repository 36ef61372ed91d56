"""Damage to a file of a stopped node, and whether it is still there."""

import os

CLASSES = {
    # of weir-broker; of nats-server
    "journal": ("/journal/", "/_js_/"),
    "segment": ("/groups/", "/msgs/"),
    "catalog": ("/catalog/", "meta.inf"),
}


class Damage:
    """What was done to one file: `spots` maps offsets to the wrong bytes there; None: it was cut to `size`."""

    def __init__(self, path, spots):
        self.path, self.spots = path, spots
        at = os.stat(path)
        self.inode, self.size = at.st_ino, at.st_size

    def still_there(self):
        """False when the file is gone, another one, or written over where it was damaged."""
        try:
            at = os.stat(self.path)
            if at.st_ino != self.inode:
                return False
            if self.spots is None:
                return at.st_size <= self.size
            with open(self.path, "rb") as f:
                return any(read_byte(f, offset) == byte for offset, byte in self.spots.items())
        except FileNotFoundError:
            return False


def read_byte(f, offset):
    f.seek(offset)
    return f.read(1)


def corrupt(files, step, rng):
    """Changes one of `files`; returns what was done in words, and the Damage."""
    wanted = CLASSES.get(step["where"], ("",))
    chosen = [f for f in files if any(part in f for part in wanted)] or files
    # By size: most bytes of a disk are in large files.
    path = rng.choice(chosen) if step["where"] != "any" else rng.choices(files, [os.path.getsize(f) for f in files])[0]
    size = os.path.getsize(path)
    short = "/".join(path.split("/")[-3:])
    if step["how"] == "truncate":
        left = int(size * rng.random())
        os.truncate(path, left)
        return "%s cut from %d to %d bytes" % (short, size, left), Damage(path, None)
    spots = {}
    with open(path, "r+b") as f:
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(size)
            # Preallocated zeros say nothing: look for a byte in use.
            for _ in range(64):
                if read_byte(f, at) != b"\0":
                    break
                at = rng.randrange(size)
            wrong = bytes([read_byte(f, at)[0] ^ (1 << rng.randrange(8))])
            f.seek(at)
            f.write(wrong)
            spots[at] = wrong
    return "bits flipped in %s (%d bytes) at %s" % (short, size, sorted(spots)), Damage(path, spots)
