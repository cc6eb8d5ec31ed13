# SPDX-License-Identifier: MIT OR Apache-2.0
"""What both trials share: Waydroid's own modules, a session for it, and what the program in its
container answers."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, "/usr/lib/waydroid")

import tools
from tools import config, helpers
from tools.helpers import logging as tools_logging

RUN = "/run/user/0"
DATA = "/root/waydroid/data"
RESULT = DATA + "/result"
ETC = "/etc/systemd/system"


def arguments(*words):
    """Waydroid's own reading of its command line."""
    sys.argv = ["waydroid", "--details-to-stdout", *words]
    args = helpers.arguments()
    tools.prep_args(args)
    tools_logging.init(args)
    return args


def session():
    """What `waydroid session start` hands to the container's service: a user's sockets and data."""
    os.makedirs(RUN + "/pulse", exist_ok=True)
    os.makedirs(DATA, exist_ok=True)
    for name in ["wayland-0", "pulse/native"]:
        open(f"{RUN}/{name}", "a").close()
    values = dict(config.session_defaults)
    values.update(
        user_id="0",
        wayland_display="wayland-0",
        waydroid_data=DATA,
        xdg_runtime_dir=RUN,
        pulse_runtime_path=RUN + "/pulse",
        # Waydroid tells this process when the session ends.
        pid=str(subprocess.Popen(["sleep", "infinity"]).pid),
    )
    return values


def expect(**values):
    """Says what the container must find."""
    os.makedirs(DATA, exist_ok=True)
    if os.path.exists(RESULT):
        os.remove(RESULT)
    with open(DATA + "/expect", "w") as file:
        file.writelines(f"{key}={value}\n" for key, value in values.items())


def answer(patience=300):
    """What the container found."""
    late = time.monotonic() + patience
    while not os.path.exists(RESULT):
        assert time.monotonic() < late, "the container's first process did not answer"
        time.sleep(0.1)
    with open(RESULT) as file:
        said = file.read().strip()
    assert said.startswith("held: "), said
    return said


def run(*words, code=0):
    """Runs a command, which must end with this status; what it said."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    ended = f"{' '.join(words)} ended with {done.returncode}, not {code}:\n{done.stdout}"
    assert done.returncode == code, ended
    return done.stdout


def status(code=0):
    """`ashmem waydroid status --json`."""
    return json.loads(run("ashmem", "waydroid", "status", "--json", code=code))


def read(path):
    with open(path) as file:
        return file.read()


def nodes():
    return read("/var/lib/waydroid/lxc/waydroid/config_nodes")


def base_properties():
    return read("/var/lib/waydroid/waydroid_base.prop")


def files(*folders):
    """Every file below the folders, with its mode and bytes."""
    found = {}
    for folder in folders:
        for place, _, names in os.walk(folder):
            found[place] = os.lstat(place).st_mode
            for name in names:
                path = f"{place}/{name}"
                link = os.path.islink(path)
                content = os.readlink(path) if link else open(path, "rb").read()
                found[path] = (os.lstat(path).st_mode, content)
    return found
