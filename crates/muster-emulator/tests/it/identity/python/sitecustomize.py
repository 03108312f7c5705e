"""Python reads this before a program starts: Microsoft's names lead to the emulator, as a hosts entry would lead there.

Nothing else is changed: the clients speak TLS to the names they know and check the certificate for them.
"""

import os
import socket

NAMES = (
    ".microsoftonline.com",
    ".windows.net",
    ".microsoft.com",
    ".vault.azure.net",
    ".securitycenter.windows.com",
)
port = os.environ.get("EMULATOR_PORT")
resolve = socket.getaddrinfo


def getaddrinfo(host, service, *arguments, **named):
    name = host.decode() if isinstance(host, bytes) else host
    if port and name and (("." + name).endswith(NAMES) or name == "169.254.169.254"):
        return resolve("127.0.0.1", int(port), *arguments, **named)
    return resolve(host, service, *arguments, **named)


socket.getaddrinfo = getaddrinfo
