# SPDX-License-Identifier: MIT OR Apache-2.0
# Looks like a supervisor, and answers every question by the bytes given, or by nothing.
import os
import socket
import sys

folder, answer = sys.argv[1], bytes.fromhex(sys.argv[2])
path = os.path.join(folder, f"fake-{os.getpid()}")
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
place = os.open(path, os.O_PATH)
os.unlink(path)
listening.listen(64)
sign = os.memfd_create(f"ashmem-supervisor:{place}")
print("ready", flush=True)
kept = []
while True:
    connection, _ = listening.accept()
    if answer:
        connection.recv(64)
        connection.sendall(answer)
        connection.close()
    else:
        kept.append(connection)
