# SPDX-License-Identifier: MIT OR Apache-2.0
"""On this machine's kernel, which has no module and may have no binder: Waydroid's functions, LXC,
and the agent."""

import os
import subprocess

import waydroid_trial as trial
from tools import actions, config, helpers, services

# The host's side of Waydroid speaks binder with Android, and tries without end where there is none.
services.hardware_manager.start = services.hardware_manager.stop = lambda args: None

SOCKET = "/run/ashmem/join.sock"
WRAPPED = "/usr/lib/ashmem/waydroid:" + os.environ["PATH"]


def start(args, path):
    os.environ["PATH"] = path
    actions.container_manager.do_start(args, trial.session())
    return trial.answer()


def configuration():
    """What Waydroid writes at an upgrade, and not for each session."""
    found = trial.files("/var/lib/waydroid/lxc")
    found.pop("/var/lib/waydroid/lxc/waydroid/config_session")
    return found


# What `waydroid init` does when it has its images, but for binder's nodes.
args = trial.arguments("upgrade", "-o")
cfg = config.load(args)
cfg["waydroid"].update(
    arch=helpers.arch.host(), vendor_type="MAINLINE", images_path="/etc/waydroid-extra/images",
    system_ota="None", vendor_ota="None", binder="anbox-binder", vndbinder="anbox-vndbinder",
    hwbinder="anbox-hwbinder",
)
config.save(args, cfg)
for name in ["rootfs", "overlay", "overlay_rw"]:
    os.makedirs(config.defaults[name])
assert helpers.drivers.probeAshmemDriver(args) == -1, "this machine has /dev/ashmem"
actions.upgrader.upgrade(args)
assert "sys.use_memfd=true\n" in trial.base_properties()
assert "ashmem" not in trial.nodes()
waydroids = configuration()

said = trial.run("ashmem", "waydroid", "enable", code=1)
assert "was not started by systemd" in said and "/usr/lib/ashmem/waydroid" in said, said

# Without the agent: as Waydroid has it, and the log says why.
args = trial.arguments("container", "start")
trial.expect(device="no", memfd="true")
start(args, WRAPPED)
assert configuration() == waydroids, "a start changes none of Waydroid's files"
actions.container_manager.stop(args)

# With the agent, which the container's first program joins: a region looks like the device whatever
# LXC's own C library calls.
os.makedirs("/run/ashmem", exist_ok=True)
agent = subprocess.Popen(["ashmem", "agent", "--join", "unix:" + SOCKET])
while not os.path.exists(SOCKET):
    assert agent.poll() is None, "the agent ended"
trial.expect(device="yes", looks="yes", memfd="true", binder="no")
first = start(args, WRAPPED)
attached = trial.run(
    "lxc-attach", "-P", config.defaults["lxc"], "-n", "waydroid",
    "--", "/dev/.ashmem-join", "--agent", "/dev/.ashmem-join.sock",
    "--", "/system/bin/client", "android",
)
assert "held" in attached, attached
container = trial.status(code=1)["container"]
assert container["short_name"] and container["long_name"], container
assert container["provider"] == "agent", container
actions.container_manager.stop(args)

# An upgrade writes Waydroid's files anew; what is added to a start stays.
actions.upgrader.upgrade(trial.arguments("upgrade", "-o"))
assert configuration() == waydroids, "Waydroid's files are as Waydroid writes them"
trial.expect(device="yes", looks="yes", memfd="true", binder="no")
start(args, WRAPPED)
actions.container_manager.stop(args)

# The package gone, the directory with it: LXC's own lxc-start is found.
os.rename("/usr/lib/ashmem", "/usr/lib/ashmem-gone")
trial.expect(device="no", memfd="true")
start(args, WRAPPED)
actions.container_manager.stop(args)
agent.kill()
lxc = trial.run("lxc-start", "--version")
held = first.removeprefix("held: ")
print(held, "; kept by an upgrade; Waydroid", config.version, "LXC", lxc)
