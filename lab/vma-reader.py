#!/usr/bin/env python3
"""Reads VMA archives, version 1, with nothing but Python's standard library.

It shares no line with vbackup: the tests compare what both make of one archive. It is strict where the format is, and
does not salvage. See docs/formats/vma.md.

    vma-reader.py list ARCHIVE              what the header says, as JSON
    vma-reader.py verify ARCHIVE...         one line of JSON for each: devices with SHA-256, clusters, extents
    vma-reader.py extract ARCHIVE FOLDER    every device as disk-NAME.raw (memory as vmstate.bin), every configuration

Ends with 1, and says why in one line on standard error, at the first rule that an archive breaks.
"""

import hashlib
import json
import os
import struct
import sys
import uuid

BLOCK = 4096
CLUSTER = 65536
FIXED = 12288
MAX_HEADER = 64 * 1024 * 1024
VMSTATE = "vmstate"


class Bad(Exception):
    """The archive breaks a rule."""


def need(condition, message):
    if not condition:
        raise Bad(message)


class Device:
    def __init__(self, number, name, size):
        self.number = number
        self.name = name
        self.size = size
        self.seen = {}
        self.next = 0

    @property
    def memory(self):
        return self.name == VMSTATE

    def clusters(self):
        return len(self.seen) if self.memory else -(-self.size // CLUSTER)

    def note(self, index, mask, position):
        need(index not in self.seen, "%s: cluster %d occurs twice" % (self.name, index))
        if self.memory:
            need(index == self.next, "%s: cluster %d out of order" % (self.name, index))
            self.next += 1
        else:
            need(index < self.clusters(), "%s: cluster %d is behind the end" % (self.name, index))
            blocks = -(-(self.size - index * CLUSTER) // BLOCK)
            behind = mask >> blocks if blocks < 16 else 0
            need(behind == 0 or mask == 0xFFFF, "%s: cluster %d stores blocks behind the end" % (self.name, index))
        self.seen[index] = (mask, position)

    def content(self, source):
        """The device's bytes, cluster by cluster; None for a cluster of zeros."""
        for index in range(self.clusters()):
            mask, position = self.seen[index]
            length = CLUSTER if self.memory else min(CLUSTER, self.size - index * CLUSTER)
            if mask == 0:
                yield length, None
                continue
            cluster = bytearray(CLUSTER)
            source.seek(position)
            for block in range(16):
                if mask & (1 << block):
                    cluster[block * BLOCK : (block + 1) * BLOCK] = source.read(BLOCK)
            yield length, bytes(cluster[:length])

    def digest(self, source):
        sha256 = hashlib.sha256()
        for length, data in self.content(source):
            sha256.update(bytes(length) if data is None else data)
        return sha256.hexdigest()


class Archive:
    def __init__(self, source):
        self.source = source
        self.length = os.fstat(source.fileno()).st_size
        self.configs = []
        self.devices = {}
        self.extents = []
        self.read_header()

    def read_header(self):
        fixed = self.source.read(FIXED)
        need(len(fixed) == FIXED, "the header is cut")
        need(fixed[:4] == b"VMA\0", "no VMA archive")
        blob_offset, blob_size, header_size = struct.unpack_from(">III", fixed, 48)
        need(FIXED < header_size <= MAX_HEADER, "a header of %d bytes" % header_size)
        header = fixed + self.source.read(header_size - FIXED)
        need(len(header) == header_size, "the header is cut")
        digest = hashlib.md5(header[:32] + bytes(16) + header[48:]).digest()
        need(digest == header[32:48], "the header's checksum is wrong")
        (version,) = struct.unpack_from(">I", header, 4)
        need(version == 1, "version %d" % version)
        need(blob_offset >= FIXED and blob_offset + blob_size <= header_size, "the blob buffer is outside of the header")
        self.uuid = header[8:24]
        (self.ctime,) = struct.unpack_from(">q", header, 24)
        self.header_size = header_size
        self.blobs = dict(self.split_blobs(header[blob_offset : blob_offset + blob_size]))
        names = struct.unpack_from(">256I", header, 2044)
        contents = struct.unpack_from(">256I", header, 3068)
        for name, content in zip(names, contents):
            if name and content:
                need(content in self.blobs, "a configuration without content")
                self.configs.append((self.text(name), self.blobs[content]))
        for number in range(1, 256):
            name, _, size = struct.unpack_from(">IIQ", header, 4096 + 32 * number)
            if size:
                self.devices[number] = Device(number, self.text(name), size)

    @staticmethod
    def split_blobs(buffer):
        at = 1
        while at + 2 <= len(buffer):
            (length,) = struct.unpack_from("<H", buffer, at)
            if at + 2 + length > len(buffer):
                return
            yield at, buffer[at + 2 : at + 2 + length]
            at += 2 + length

    def text(self, pointer):
        blob = self.blobs.get(pointer, b"")
        need(blob[-1:] == b"\0", "a name that does not end")
        return blob[:-1].decode()

    def read_extents(self):
        at = self.header_size
        need(at < self.length, "no extent")
        while at < self.length:
            at += self.read_extent(at)
        for device in self.devices.values():
            missing = device.clusters() - len(device.seen)
            need(missing == 0, "%s lacks %d clusters" % (device.name, missing))

    def read_extent(self, at):
        self.source.seek(at)
        header = self.source.read(512)
        need(len(header) == 512, "an extent is cut at %d" % at)
        magic, reserved, blocks = struct.unpack_from(">4sHH", header)
        need(magic == b"VMAE" and reserved == 0, "no extent at %d" % at)
        need(hashlib.md5(header[:24] + bytes(16) + header[40:]).digest() == header[24:40], "checksum at %d" % at)
        need(header[8:24] == self.uuid, "an extent of another archive at %d" % at)
        position = at + 512
        used = 0
        for slot in range(59):
            mask, _, number, index = struct.unpack_from(">HBBI", header, 40 + 8 * slot)
            if number == 0:
                continue
            need(number in self.devices, "a cluster of device %d, which is unknown" % number)
            self.devices[number].note(index, mask, position)
            position += bin(mask).count("1") * BLOCK
            used += 1
        need(position == at + 512 + blocks * BLOCK, "%d blocks at %d, the masks say otherwise" % (blocks, at))
        need(position <= self.length, "an extent is cut at %d" % at)
        self.extents.append({"offset": at, "blockCount": blocks, "clusters": used})
        return position - at

    def describe(self):
        return {
            "uuid": str(uuid.UUID(bytes=self.uuid)),
            "ctime": self.ctime,
            "headerLength": self.header_size,
            "configs": [
                {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in self.configs
            ],
            "devices": [{"id": d.number, "name": d.name, "size": d.size} for d in self.devices.values()],
        }

    def verify(self):
        self.read_extents()
        found = self.describe()
        found["extents"] = self.extents
        for entry, device in zip(found["devices"], self.devices.values()):
            masks = [mask for mask, _ in device.seen.values()]
            entry["sha256"] = device.digest(self.source)
            entry["full"] = masks.count(0xFFFF)
            entry["zero"] = masks.count(0)
            entry["partial"] = len(masks) - entry["full"] - entry["zero"]
        return found

    def extract(self, folder):
        self.read_extents()
        os.mkdir(folder)
        for name, content in self.configs:
            with create(folder, name) as target:
                target.write(content)
        for device in self.devices.values():
            with create(folder, "vmstate.bin" if device.memory else "disk-%s.raw" % device.name) as target:
                for length, data in device.content(self.source):
                    if data is None:
                        target.seek(length, os.SEEK_CUR)
                    else:
                        target.write(data)
                target.truncate(target.tell())


def create(folder, name):
    need(name not in ("", ".", "..") and "/" not in name and name.isprintable(), "the name %r is no file's" % name)
    return open(os.path.join(folder, name), "xb")


def main(words):
    command, paths = (words[0], words[1:]) if words else ("", [])
    shapes = {"list": len(paths) == 1, "verify": len(paths) >= 1, "extract": len(paths) == 2}
    if not shapes.get(command, False):
        print(__doc__, file=sys.stderr)
        return 2
    for path in paths[:1] if command == "extract" else paths:
        try:
            with open(path, "rb") as source:
                archive = Archive(source)
                if command == "extract":
                    archive.extract(paths[1])
                else:
                    print(json.dumps(archive.describe() if command == "list" else archive.verify()))
        except (Bad, OSError, UnicodeDecodeError) as error:
            print("%s: %s" % (path, error), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
