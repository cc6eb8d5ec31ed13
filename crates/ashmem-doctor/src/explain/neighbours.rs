// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said of the other devices that Android asks for: heaps, FUSE, loop devices.

use crate::advice::NextStep::{self, Do};
use crate::log_source::LogSource;
use crate::message::Message;
use crate::subject::Subject::Neighbour;

const M: Message = Message::PLAIN;

const GPU_NOT_OPENED: &str = "Android's graphics could not use the GPU: its node is missing in the \
    container or may not be opened, or the kernel's driver is not the one that the image's library \
    was made for. Shared memory has no part in it";

const OPEN_GPU: &[NextStep] = &[
    Do("ls -l /dev/mali* /dev/dri   # on the host, then in the container: there, and 0666"),
    Do("# drawn by the processor: androidboot.redroid_gpu_mode=guest (redroid)"),
    Do("# Waydroid: ro.hardware.gralloc=default and ro.hardware.egl=swiftshader in waydroid.cfg, \
        then sudo waydroid upgrade -o"),
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "ion-missing-harmless",
        about: &[Neighbour],
        says: r"/dev/ion\b",
        errno: &[libc::ENOENT, libc::ENODEV, libc::ENXIO],
        is_harmless: true,
        cause: "harmless by itself: ion left the kernel in 5.11, and Android takes DMA-BUF heaps \
                in its place (/dev/dma_heap)",
        next: &[Do("ls -l /dev/dma_heap   # system must be there")],
        ..M
    },
    Message {
        id: "dma-heap-missing",
        about: &[Neighbour],
        says: concat!(
            r"(dma_heap|dma-?buf.?heap).*(fail|unable|cannot|could not|no such|not found|denied|",
            r"error)|(fail\w*|unable|cannot|could not|no such).*(dma_heap|dma-?buf heap)",
        ),
        cause: "Android's codecs and graphics take their buffers from DMA-BUF heaps, and there is \
                none here that they may open (CONFIG_DMABUF_HEAPS_SYSTEM, kernel 5.6 and newer)",
        next: &[
            Do("ls -l /dev/dma_heap   # on the host, then in the container"),
            Do("grep DMABUF_HEAPS /boot/config-$(uname -r)"),
            Do("sudo chmod 666 /dev/dma_heap/system   # if it is there and only root may open it"),
        ],
        ..M
    },
    Message {
        id: "fuse-missing",
        about: &[Neighbour],
        says: concat!(
            r"/dev/fuse\b.*(fail|cannot|could not|no such|not found|denied|not permitted|unable)|",
            r"(fail\w*|cannot|could not|unable|can't).*/dev/fuse\b|fuse: device not found"
        ),
        cause: "FUSE is not to be had here: Android shows its storage (/sdcard) by it",
        next: &[
            Do("sudo modprobe fuse; ls -l /dev/fuse   # on the host"),
            Do("# docker and podman: --device /dev/fuse; LXC: bind it as the other nodes"),
        ],
        ..M
    },
    Message {
        id: "loop-missing",
        about: &[Neighbour],
        says: concat!(
            r"(loop-control|loop device|/dev/loop\d*).*(fail|cannot|could not|no such|not found|",
            r"denied|",
            r"not permitted|unable|unused)|(fail\w*|cannot|could not|unable|can't).*(loop-control|",
            r"loop device|/dev/loop\d*)"
        ),
        // It is there, and taken.
        unless: r"\bbusy\b|already mounted",
        cause: "there is no loop device to be had: images that keep their parts as APEX files or \
                system.img mount them by it",
        next: &[
            Do("sudo modprobe loop max_loop=64; ls -l /dev/loop-control   # on the host"),
            Do("# containers need /dev/loop-control and the loop devices, and CAP_SYS_ADMIN; \
                redroid's images have flattened APEX files and need none"),
        ],
        ..M
    },
    Message {
        id: "gpu-buffer-plain",
        says: r"\boutput buffer not gpu writeable\b",
        cause: "SurfaceFlinger draws by the GPU, into a buffer that gralloc made for the processor \
                alone: the two are set up for different drivers. Shared memory has no part in it",
        next: &[
            Do("# redroid: androidboot.redroid_gpu_mode=guest draws by the processor throughout, \
                =host by the GPU"),
            Do(
                "# Waydroid: ro.hardware.gralloc and ro.hardware.egl in waydroid.cfg must fit: gbm \
                and mesa, or default and swiftshader; then sudo waydroid upgrade -o",
            ),
        ],
        ..M
    },
    Message {
        id: "gpu-buffer",
        // 5: no resources. Others are probes of what the driver can do.
        says: concat!(
            r"failed to create BO, size=|",
            r"^failed to allocate \(\d+ x \d+\) layerCount \d+ format \d+ usage [0-9a-f]+: 5$"
        ),
        // gralloc's own plain driver takes them from ashmem.
        follows: &["device-", "boot-id", "too-many-desc", "memfd-"],
        cause: "the GPU's driver gave no buffer for the picture: a virtual machine's GPU, Nvidia's \
                driver, or none that the container may open. Shared memory has no part in it",
        next: &[
            Do("ls -l /dev/dri   # on the host, then in the container"),
            Do("# Waydroid, drawn by the processor: ro.hardware.gralloc=default and \
                ro.hardware.egl=swiftshader in waydroid.cfg, then sudo waydroid upgrade -o"),
            Do("# redroid: androidboot.redroid_gpu_mode=guest"),
        ],
        ..M
    },
    Message {
        id: "gpu-probe-harmless",
        // 3: a value that it does not take. 7: not supported.
        says: concat!(
            r"^failed to allocate \(\d+ x \d+\) layerCount \d+ format \d+ usage ",
            r"[0-9a-f]+: [37]$|",
            r"^GraphicBuffer\(w=\d+, .*\) failed \(.*-[37]\)"
        ),
        is_harmless: true,
        cause: "harmless by itself: a program asked for a buffer of a kind that this driver does \
                not make, and takes another. If its window stays black, draw by the processor: \
                androidboot.redroid_gpu_mode=guest (redroid)",
        ..M
    },
    Message {
        id: "gpu-not-opened",
        says: concat!(
            r"failed creating base context during opening of kernel driver|",
            r"no suitable EGLConfig found|failed to open any DRM device|",
            r"eglQueryStringImplementationANDROID\(EGL_VERSION\) failed"
        ),
        cause: GPU_NOT_OPENED,
        next: OPEN_GPU,
        ..M
    },
    // A desktop's programs say the same of their own host.
    Message {
        id: "gpu-not-opened",
        from: &[LogSource::Logcat],
        says: r"/dev/dri/(renderD|card)\d|/dev/mali\d",
        errno: &[libc::ENOENT, libc::EACCES, libc::EPERM, libc::ENXIO, libc::ENODEV],
        unless: "avc:",
        cause: GPU_NOT_OPENED,
        next: OPEN_GPU,
        ..M
    },
    Message {
        id: "egl-library-missing",
        says: concat!(
            r"couldn.?t find an OpenGL ES implementation|",
            r"load_driver\(.*lib(EGL|GLES)\w*\.so\): dlopen failed"
        ),
        cause: "Android's image has no OpenGL library of the name that its settings ask for \
                (ro.hardware.egl). Shared memory has no part in it",
        next: &[
            Do("# Waydroid: ro.hardware.egl=swiftshader (drawn by the processor) or mesa in \
                waydroid.cfg, then sudo waydroid upgrade -o"),
            Do("# redroid: androidboot.redroid_gpu_mode=guest"),
        ],
        ..M
    },
    Message {
        id: "kmsg-missing",
        about: &[Neighbour],
        says: r"/dev/kmsg\b",
        errno: &[libc::ENOENT, libc::EPERM, libc::EACCES],
        cause: "Android's init writes its log to /dev/kmsg, which this container has not; it \
                starts all the same, and its messages are lost",
        next: &[Do(
            "# LXC: lxc.mount.entry = /dev/kmsg dev/kmsg none bind,create=file 0 0; podman \
                    and docker: --device /dev/kmsg",
        )],
        ..M
    },
];
