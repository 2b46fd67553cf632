"""Sending many datagrams of one size with few calls, so that the generator is not what limits.

Two ways, and they are not the same load. With `sendmmsg` each datagram reaches the receiver's
socket on its own, as from a network; 3.5 µs each. With UDP_SEGMENT the kernel cuts one large buffer
and 64 datagrams are there at once; 0.6 µs each, which floods any receiver, and suits one that waits
for nothing between two reads.
"""

import ctypes
import os
import socket
from collections.abc import Sequence

UDP_SEGMENT = 103  # linux/udp.h
UDP_SEGMENTS_MAX = 64  # of one call: UDP_MAX_SEGMENTS of older kernels


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("buffers", ctypes.POINTER(_Iovec)),
        ("buffers_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    """As in sendmmsg(2)."""

    _fields_ = (("header", _Msghdr), ("sent", ctypes.c_uint))


class SingleDatagrams:
    """Sends any run of `row` with as few calls of sendmmsg(2) as the kernel allows."""

    def __init__(self, sock: socket.socket, row: Sequence[bytes]) -> None:
        self._socket = sock
        self._call = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._buffers = [ctypes.create_string_buffer(each, len(each)) for each in row]
        self._iovecs = (_Iovec * len(row))(
            *(_Iovec(ctypes.addressof(buffer), len(buffer)) for buffer in self._buffers)
        )
        self._headers = (_Mmsghdr * len(row))(
            *(_Mmsghdr(_Msghdr(buffers=ctypes.pointer(it), buffers_count=1)) for it in self._iovecs)
        )

    def send(self, piece: range) -> None:
        """The messages at these places of the row."""
        start = piece.start
        while start < piece.stop:
            first = ctypes.byref(self._headers, start * ctypes.sizeof(_Mmsghdr))
            sent = self._call(self._socket.fileno(), first, piece.stop - start, 0)
            if sent < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            start += sent


class SegmentedDatagrams:
    """The same, cut by the kernel from one large buffer."""

    def __init__(self, sock: socket.socket, row: Sequence[bytes]) -> None:
        self._socket = sock
        self._size = len(row[0])
        self._buffer = memoryview(b"".join(row))
        sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, self._size)

    def send(self, piece: range) -> None:
        step = UDP_SEGMENTS_MAX * self._size
        for at in range(piece.start * self._size, piece.stop * self._size, step):
            self._socket.send(self._buffer[at : min(at + step, piece.stop * self._size)])
