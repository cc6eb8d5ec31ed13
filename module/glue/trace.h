/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The static tracepoints ashmem:*. A region is named by its address, for as long as it lives, and by its backing file's
 * inode number (0 before the first mmap), which /proc/PID/maps and fdinfo show too.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ashmem

#if !defined(ASHMEM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define ASHMEM_TRACE_H

#include <linux/tracepoint.h>

#define ashmem_show_prot(prot) __print_flags(prot, "|", { 1, "READ" }, { 2, "WRITE" }, { 4, "EXEC" })

TRACE_EVENT(open,
	TP_PROTO(const void *region, long result),
	TP_ARGS(region, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->result = result;
	),
	TP_printk("region=%p result=%ld", __entry->region, __entry->result)
);

TRACE_EVENT(release,
	TP_PROTO(const void *region, unsigned long inode),
	TP_ARGS(region, inode),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(unsigned long, inode)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->inode = inode;
	),
	TP_printk("region=%p inode=%lu", __entry->region, __entry->inode)
);

TRACE_EVENT(set_name,
	TP_PROTO(const void *region, const char *name, long result),
	TP_ARGS(region, name, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		/* Not __string: its __assign_str changed its arguments in 6.10; the record is the same. */
		__dynamic_array(char, name, strlen(name) + 1)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		strcpy(__get_dynamic_array(name), name);
		__entry->result = result;
	),
	TP_printk("region=%p name=\"%s\" result=%ld", __entry->region, __get_str(name), __entry->result)
);

TRACE_EVENT(set_size,
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
	TP_printk("region=%p size=%llu result=%ld", __entry->region, __entry->size, __entry->result)
);

TRACE_EVENT(set_prot_mask,
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
	TP_printk("region=%p inode=%lu mask=0x%llx result=%ld", __entry->region, __entry->inode, __entry->mask,
		  __entry->result)
);

TRACE_EVENT(mmap,
	TP_PROTO(const void *region, unsigned long inode, u64 address, u64 len, u64 offset, u32 prot, bool shared, long result),
	TP_ARGS(region, inode, address, len, offset, prot, shared, result),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(unsigned long, inode)
		__field(u64, address)
		__field(u64, len)
		__field(u64, offset)
		__field(u32, prot)
		__field(bool, shared)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->inode = inode;
		__entry->address = address;
		__entry->len = len;
		__entry->offset = offset;
		__entry->prot = prot;
		__entry->shared = shared;
		__entry->result = result;
	),
	TP_printk("region=%p inode=%lu address=0x%llx len=%llu offset=%llu prot=%s %s result=%ld", __entry->region,
		  __entry->inode, __entry->address, __entry->len, __entry->offset, ashmem_show_prot(__entry->prot),
		  __entry->shared ? "shared" : "private", __entry->result)
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
	TP_printk("region=%p inode=%lu offset=%u len=%u result=%ld", __entry->region, __entry->inode, __entry->offset,
		  __entry->len, __entry->result)
);

/* result 1: the pages were purged. */
DEFINE_EVENT(pinning, pin,
	TP_PROTO(const void *region, unsigned long inode, u32 offset, u32 len, long result),
	TP_ARGS(region, inode, offset, len, result)
);

DEFINE_EVENT(pinning, unpin,
	TP_PROTO(const void *region, unsigned long inode, u32 offset, u32 len, long result),
	TP_ARGS(region, inode, offset, len, result)
);

/* One range, by the task that needed the memory. In pages. */
TRACE_EVENT(purge,
	TP_PROTO(const void *region, unsigned long inode, u64 first, u64 pages),
	TP_ARGS(region, inode, first, pages),
	TP_STRUCT__entry(
		__field(const void *, region)
		__field(unsigned long, inode)
		__field(u64, first)
		__field(u64, pages)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->inode = inode;
		__entry->first = first;
		__entry->pages = pages;
	),
	TP_printk("region=%p inode=%lu first=%llu pages=%llu", __entry->region, __entry->inode, __entry->first,
		  __entry->pages)
);

#endif

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
