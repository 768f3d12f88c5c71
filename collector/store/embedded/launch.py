"""Become an ordinary user, tie one's life to the parent's, and turn into another program.

Run as a script by `server`, never imported: `launch.py PARENT UID GID SIGNAL PROGRAM [ARGUMENT ..]`. A script of its
own because code between fork and exec in a process with threads may deadlock, and because the death signal has to be
asked for after the change of user, which clears it. It needs nothing but the standard library and works where the
`setpriv` command is missing. UID -1 keeps the user, SIGNAL 0 asks for none.
"""

from __future__ import annotations

import ctypes
import os
import sys

# From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
# EX_TEMPFAIL of <sysexits.h>: nothing is wrong with the program.
ORPHANED_EXIT_STATUS = 75


def main() -> None:
    """Replace this process by the program; exits with `ORPHANED_EXIT_STATUS` where the parent is gone already."""
    parent, uid, gid, signal = map(int, sys.argv[1:5])
    command = sys.argv[5:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if signal:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no signal at the parent's death")
        if os.getppid() != parent:  # it died before the signal was asked for
            sys.exit(ORPHANED_EXIT_STATUS)
    os.umask(0o077)
    os.execv(command[0], command)  # noqa: S606  this is its purpose


if __name__ == "__main__":
    main()
