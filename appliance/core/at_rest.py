"""Whether what a file system lies on is encrypted: a pure look at a stack of block devices, as the kernel draws it."""

from collections.abc import Mapping, Sequence

CRYPT = "CRYPT-"  # what dm/uuid of a dm-crypt mapping begins with (LUKS1, LUKS2, plain)
STACK_MAX = 16  # levels of mappings, partitions and volumes


def is_encrypted(
    device: str, beneath: Mapping[str, Sequence[str]], dm_uuid: Mapping[str, str], levels: int = STACK_MAX
) -> bool:
    """Whether every path from a device down to a disk goes through dm-crypt.

    beneath  device -> what it is made of: slaves of a mapping, of a RAID, or the disk of a partition; none for a disk
    dm_uuid  device -> the uuid of its mapping, where it is one
    A volume over two disks of which one is plain is not encrypted; nor is what cannot be followed to its end.
    """
    if dm_uuid.get(device, "").startswith(CRYPT):
        return True
    under = beneath.get(device, ())
    return levels > 0 and bool(under) and all(is_encrypted(each, beneath, dm_uuid, levels - 1) for each in under)
