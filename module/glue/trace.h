/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The static tracepoints ashmem:*. A region is named by its address, for as long as it lives, and
 * by its backing file's inode number (0 before the first mmap), which /proc/PID/maps and fdinfo
 * show too. pid is the process (common_pid is the thread) as the host sees it, vpid as its own pid
 * namespace does. ns is the time spent inside the driver, in nanoseconds.
 *
 * Every request of a region's descriptor ends with an ioctl event, whatever became of it. The
 * events of a request's own come just before it, from the same thread, and tell what was in the
 * caller's memory.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ashmem

#if !defined(ASHMEM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define ASHMEM_TRACE_H

#include <linux/jump_label.h>
#include <linux/sched.h>
#include <linux/tracepoint.h>

/*
 * Raised while anyone listens to ioctl or to a request's own event: one no-op then chooses, for the
 * whole of a request, code that knows no tracing. Each such event calls these two as its first
 * listener comes and as its last one goes.
 */
#if defined(CONFIG_TRACEPOINTS) && !defined(NOTRACE)
DECLARE_STATIC_KEY_FALSE(ashmem_traced);
int ashmem_traced_begin(void);
void ashmem_traced_end(void);
#define ashmem_requests_traced() static_branch_unlikely(&ashmem_traced)
#else
#define ashmem_requests_traced() false
#endif

/*
 * Writes a name down as the record keeps it: what is not printable ASCII, and the backslash, as
 * \ooo, so that no name can pose as lines of the trace or act on a terminal. Returns the bytes with
 * the NUL; @to may be NULL, to have them counted.
 */
size_t ashmem_escape_name(char *to, const char *name);

#define ashmem_show_prot(prot) \
	__print_flags(prot, "|", { 1, "READ" }, { 2, "WRITE" }, { 4, "EXEC" })

TRACE_EVENT(open,
	TP_PROTO(const void *region, u64 ns, long result),
	TP_ARGS(region, ns, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(u64, ns)
		__field(pid_t, pid)
		__field(pid_t, vpid)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->ns = ns;
		__entry->pid = task_tgid_nr(current);
		__entry->vpid = task_tgid_vnr(current);
		__entry->result = result;
	),
	TP_printk("region=%p pid=%d vpid=%d ns=%llu result=%ld",
		  __entry->region, __entry->pid, __entry->vpid, __entry->ns, __entry->result)
);

TRACE_EVENT(release,
	TP_PROTO(const void *region, unsigned long inode),
	TP_ARGS(region, inode),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(unsigned long, inode)
		__field(pid_t, pid)
		__field(pid_t, vpid)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->inode = inode;
		__entry->pid = task_tgid_nr(current);
		__entry->vpid = task_tgid_vnr(current);
	),
	TP_printk("region=%p inode=%lu pid=%d vpid=%d",
		  __entry->region, __entry->inode, __entry->pid, __entry->vpid)
);

TRACE_EVENT_FN(ioctl,
	TP_PROTO(const void *region, unsigned long inode, u32 cmd, u64 arg, u64 ns, long result),
	TP_ARGS(region, inode, cmd, arg, ns, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(unsigned long, inode)
		__field(u64, arg)
		__field(u64, ns)
		__field(u32, cmd)
		__field(pid_t, pid)
		__field(pid_t, vpid)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->inode = inode;
		__entry->arg = arg;
		__entry->ns = ns;
		__entry->cmd = cmd;
		__entry->pid = task_tgid_nr(current);
		__entry->vpid = task_tgid_vnr(current);
		__entry->result = result;
	),
	TP_printk("region=%p inode=%lu pid=%d vpid=%d ns=%llu cmd=0x%x arg=0x%llx result=%ld",
		  __entry->region, __entry->inode, __entry->pid, __entry->vpid, __entry->ns,
		  __entry->cmd, __entry->arg, __entry->result),
	ashmem_traced_begin, ashmem_traced_end
);

TRACE_EVENT_FN(set_name,
	TP_PROTO(const void *region, const char *name, long result),
	TP_ARGS(region, name, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		/*
		 * Not __string: its __assign_str changed its arguments in 6.10; the record is the
		 * same.
		 */
		__dynamic_array(char, name, ashmem_escape_name(NULL, name))
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		ashmem_escape_name(__get_dynamic_array(name), name);
		__entry->result = result;
	),
	/* No quotes: the kernel shows them bare in the form, which no tool can then read. */
	TP_printk("region=%p name=%s result=%ld",
		  __entry->region, __get_str(name), __entry->result),
	ashmem_traced_begin, ashmem_traced_end
);

TRACE_EVENT_FN(set_size,
	TP_PROTO(const void *region, u64 size, long result),
	TP_ARGS(region, size, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(u64, size)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->size = size;
		__entry->result = result;
	),
	TP_printk("region=%p size=%llu result=%ld",
		  __entry->region, __entry->size, __entry->result),
	ashmem_traced_begin, ashmem_traced_end
);

TRACE_EVENT_FN(set_prot_mask,
	TP_PROTO(const void *region, unsigned long inode, u64 mask, long result),
	TP_ARGS(region, inode, mask, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(unsigned long, inode)
		__field(u64, mask)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->inode = inode;
		__entry->mask = mask;
		__entry->result = result;
	),
	TP_printk("region=%p inode=%lu mask=0x%llx result=%ld",
		  __entry->region, __entry->inode, __entry->mask, __entry->result),
	ashmem_traced_begin, ashmem_traced_end
);

TRACE_EVENT(mmap,
	TP_PROTO(const void *region, unsigned long inode, const struct vm_area_struct *vma,
		 u64 len, u32 prot, u64 ns, long result),
	TP_ARGS(region, inode, vma, len, prot, ns, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(unsigned long, inode)
		__field(u64, address)
		__field(u64, len)
		__field(u64, offset)
		__field(u64, ns)
		__field(u32, prot)
		__field(pid_t, pid)
		__field(pid_t, vpid)
		__field(bool, shared)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->inode = inode;
		__entry->address = vma->vm_start;
		__entry->len = len;
		__entry->offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
		__entry->ns = ns;
		__entry->prot = prot;
		__entry->pid = task_tgid_nr(current);
		__entry->vpid = task_tgid_vnr(current);
		__entry->shared = vma->vm_flags & VM_SHARED;
		__entry->result = result;
	),
	TP_printk("region=%p inode=%lu pid=%d vpid=%d ns=%llu address=0x%llx len=%llu offset=%llu "
		  "prot=%s %s result=%ld",
		  __entry->region, __entry->inode, __entry->pid, __entry->vpid, __entry->ns,
		  __entry->address, __entry->len, __entry->offset,
		  ashmem_show_prot(__entry->prot), __entry->shared ? "shared" : "private",
		  __entry->result)
);

DECLARE_EVENT_CLASS(pinning,
	TP_PROTO(const void *region, unsigned long inode, u32 offset, u32 len, long result),
	TP_ARGS(region, inode, offset, len, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(unsigned long, inode)
		__field(u32, offset)
		__field(u32, len)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->inode = inode;
		__entry->offset = offset;
		__entry->len = len;
		__entry->result = result;
	),
	TP_printk("region=%p inode=%lu offset=%u len=%u result=%ld",
		  __entry->region, __entry->inode, __entry->offset, __entry->len,
		  __entry->result)
);

/* result 1: the pages were purged. */
DEFINE_EVENT_FN(pinning, pin,
	TP_PROTO(const void *region, unsigned long inode, u32 offset, u32 len, long result),
	TP_ARGS(region, inode, offset, len, result),
	ashmem_traced_begin, ashmem_traced_end
);

DEFINE_EVENT_FN(pinning, unpin,
	TP_PROTO(const void *region, unsigned long inode, u32 offset, u32 len, long result),
	TP_ARGS(region, inode, offset, len, result),
	ashmem_traced_begin, ashmem_traced_end
);

/* One range, in pages: by the caller of PURGE_ALL_CACHES, or by a worker where memory was short. */
TRACE_EVENT(purge,
	TP_PROTO(const void *region, unsigned long inode, u64 first, u64 pages),
	TP_ARGS(region, inode, first, pages),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(unsigned long, inode)
		__field(u64, first)
		__field(u64, pages)
		__field(pid_t, pid)
		__field(pid_t, vpid)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->inode = inode;
		__entry->pid = task_tgid_nr(current);
		__entry->vpid = task_tgid_vnr(current);
		__entry->first = first;
		__entry->pages = pages;
	),
	TP_printk("region=%p inode=%lu pid=%d vpid=%d first=%llu pages=%llu",
		  __entry->region, __entry->inode, __entry->pid, __entry->vpid,
		  __entry->first, __entry->pages)
);

#endif

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
