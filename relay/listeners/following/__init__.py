"""Following files: sans clock, driven by the listener; each call is one hop to a thread.

A *content* (`Followed`) is what a log was from its first octet to the moment it was truncated, or
another file got its name. It has a source (the name of its position, for good), a position, and a
trace: digests of its first 512 octets and of the 128 in front of the position. Where it was seen
last is its inode; that may change.

Of each content one of these holds:

- *in a file*: it has an inode. While the file is open nobody else gets that inode, and each look
  and each read compares what stands in front of the position. While it is closed the inode is
  believed as long as size and time of change are as they were; otherwise it is opened, and has to
  fit the trace. An empty one fits anything, so it is forgotten instead.
- *gone*: its inode is not there, or has another content. It is found in any unknown file that
  fits its trace, and goes on there at its position. If there is none until it was gone for
  `linger`, it is given up: what was seen of it and not read is counted as lost, and told.
- *done*, besides: read to its end, rotated or deleted, and quiet for `linger`; or given up. A
  done content is kept to know its copies. It is not done any more once it is longer than it was.

Of each file whose inode is nobody's one of these holds, asked in this order:

- it has the name of a log: a new content;
- its log is truncated and that is not looked into yet, or what it is compressed from is there
  still, or it is empty, or compressed in part: it waits;
- it fits a content that is gone: it is that content;
- it had been rotated before the very first look of all: nobody's business;
- it may be a copy of a content that is in its own file: it waits, for `copytruncate` truncates
  that file, and compression deletes it, and then that content is gone. If that is done and
  nothing happens for `linger` it is read, counted as possibly repeated: two contents may look the
  same;
- otherwise it is a new content, read from its first octet.

So each octet of a log is read and put, in a file that is found, or counted as lost: a content
leaves its file only to be gone, and is gone only until it is found or given up; a file is passed
over only if it fits what was read.
"""
