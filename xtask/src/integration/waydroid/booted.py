# SPDX-License-Identifier: MIT OR Apache-2.0
"""In a virtual machine with systemd, Waydroid's service, binder and the module: what a user does,
over two boots."""

import os
import pickle
import shutil

import waydroid_trial as trial
from tools import config, helpers

BOOT = "@BOOT@"
BEFORE = "/trial/before"
MODULES = f"/usr/lib/modules/{os.uname().release}"
RESTART = "sudo systemctl restart waydroid-container.service"
MODULE = {"device": "yes", "looks": "yes", "memfd": "false", "binder": "yes"}
# The container's first program joins the agent: LXC's C library makes no call that is notified.
AGENT = {"device": "yes", "looks": "yes", "memfd": "true", "binder": "yes"}


# Seconds that an emulated machine on a busy host may take for what takes one.
PATIENCE = 600


def service():
    return helpers.ipc.DBusContainerService()


def start(**values):
    trial.expect(**values)
    service().Start(trial.session(), timeout=PATIENCE)
    return trial.answer()


def stop():
    service().Stop(True, timeout=PATIENCE)


def restart():
    trial.run("systemctl", "restart", "waydroid-container.service")


def tell(what):
    print(f"{os.times().elapsed:.0f} {what}", flush=True)


def first():
    trial.run("waydroid", "init")
    assert "sys.use_memfd=true\n" in trial.base_properties(), "the module is not there yet"
    assert "ashmem" not in trial.nodes()
    with open(BEFORE, "wb") as file:
        pickle.dump(trial.files("/etc/systemd"), file)
    status = trial.status(code=1)
    assert status["initialised"] and not status["enabled"], status
    said = trial.run("ashmem", "waydroid", "enable", "--mode", "module", code=1)
    assert "no module ashmem_linux for kernel" in said, said
    tell("initialised by Waydroid, without the module; enabling refused")

    os.makedirs(MODULES + "/updates")
    shutil.copy("/trial/ashmem_linux.ko", MODULES + "/updates")
    trial.run("depmod")
    said = trial.run("ashmem", "waydroid", "enable")
    assert RESTART in said, said
    status = trial.status(code=1)
    assert status["service_has_it"] is False and RESTART in status["next"], status
    restart()
    tell(start(**MODULE))
    status = trial.status()
    assert status["container"]["provider"] == "module", status

    trial.expect(**MODULE)
    trial.run("waydroid", "upgrade", "-o")
    tell("upgraded while it runs: " + trial.answer())
    assert "/dev/ashmem dev/ashmem" in trial.nodes(), "Waydroid itself finds the module now"

    said = trial.run("ashmem", "waydroid", "enable", "--mode", "agent", "--now")
    assert "restarted waydroid-container.service" in said and RESTART not in said, said
    tell(start(**AGENT))
    assert trial.status()["container"]["provider"] == "agent"
    trial.run("ashmem", "waydroid", "enable")


def second():
    tell("another boot: " + start(**MODULE))
    assert trial.status()["container"]["provider"] == "module"
    stop()
    trial.run("rmmod", "ashmem_linux")
    shutil.rmtree(MODULES + "/updates")
    trial.run("depmod")
    tell("a kernel without the module: " + start(**AGENT))
    assert trial.status()["provider"] == "agent"
    stop()
    units = ["ashmem-join.socket", "ashmem-agent.socket", "ashmem-agent.service"]
    trial.run("systemctl", "stop", *units)
    tell("nor the agent: " + start(device="no", memfd="true"))
    stop()

    trial.run("mount", "--bind", "/etc", "/etc")
    trial.run("mount", "-o", "remount,ro,bind", "/etc")
    said = trial.run("ashmem", "waydroid", "disable", code=1)
    assert "Read-only file system" in said, said
    trial.run("umount", "/etc")
    assert trial.status()["enabled"]
    said = trial.run("ashmem", "waydroid", "disable")
    assert RESTART in said, said
    restart()
    with open(BEFORE, "rb") as file:
        before, now = pickle.load(file), trial.files("/etc/systemd")
    assert now == before, sorted(now.items() ^ before.items())
    assert not os.path.exists("/run/ashmem/waydroid")
    assert not trial.status(code=1)["enabled"]
    # Waydroid was upgraded while the module was there, and does not look again.
    tell("disabled: " + start(device="no", memfd="false"))
    stop()
    shown = "module, agent and neither, by two boots, an upgrade and a lost module; Waydroid"
    print(shown, config.version)


first() if BOOT == "1" else second()
