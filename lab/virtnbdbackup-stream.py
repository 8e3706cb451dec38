#!/usr/bin/python3
"""Backs up a unix-socket NBD export with virtnbdbackup's own modules: virtnbdbackup-stream.py SOCKET OUTPUT LZ4-LEVEL

This is the inner loop of Debian's virtnbdbackup 1.9: its NBD client, extent handler, LZ4 and stream writer, without libvirt, and
without the fixed second that its client sleeps before it connects. LZ4-LEVEL 0 does not compress.
"""
import sys
from types import SimpleNamespace

import libvirtnbdbackup.nbdcli

CLIENT = sys.modules["libvirtnbdbackup.nbdcli.client"]
CLIENT.sleep = lambda _seconds: None

from libvirtnbdbackup import extenthandler
from libvirtnbdbackup.common import common
from libvirtnbdbackup.output import target as output
from libvirtnbdbackup.sparsestream import streamer, types


def main(socket, path, compress):
    kind = CLIENT.Unix("", "", socket)
    connection = CLIENT.client(kind).connect()
    extents = extenthandler.ExtentHandler(connection, kind).queryBlockStatus()
    directory = getattr(output, "target", output).Directory("")
    writer = directory.open(path)
    stream, words = streamer.SparseStream(types), types.SparseStreamTypes()
    arguments = SimpleNamespace(cpt=SimpleNamespace(name="c", parent=""), compress=compress, level="full")
    disk = SimpleNamespace(target="vda", format="raw")
    length = sum(extent.length for extent in extents if extent.data)
    meta = stream.dumpMetadata(arguments, connection.nbd.get_size(), length, disk)
    stream.writeFrame(writer, words.META, 0, len(meta))
    writer.write(meta)
    writer.write(words.TERM)
    sizes = []
    for extent in extents:
        if not extent.data:
            stream.writeFrame(writer, words.ZERO, extent.offset, extent.length)
            continue
        stream.writeFrame(writer, words.DATA, extent.offset, extent.length)
        if extent.length >= connection.maxRequestSize:
            size, compressed = common.writeChunk(writer, extent, connection, "stream", compress)
        else:
            size, compressed = common.writeBlock(writer, extent, connection, "stream", compress), None
        writer.write(words.TERM)
        if compress:
            sizes.append({size: compressed} if compressed else size)
    stream.writeFrame(writer, words.STOP, 0, 0)
    if compress:
        stream.writeCompressionTrailer(writer, sizes)
    writer.close()
    connection.disconnect()


# Of 0 the modules would make level 0, not "do not compress".
main(sys.argv[1], sys.argv[2], int(sys.argv[3]) or False)
