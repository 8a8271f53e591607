"""What the page asks the process that reads objects, in the frames of core.frames: an act, its words, an object.

What comes back is bytes and is not believed to be anything else; a refusal is a code of the catalogue or nothing.
"""

OPEN, METADATA, FRAME, STORED_FRAME, PICTURE, BULK, READY = 0, 1, 2, 3, 4, 5, 6
OBJECT_BYTES_MAX = 256 * 2**20
REPLY_BYTES_MAX = 256 * 2**20
