// SPDX-License-Identifier: GPL-2.0
/* The tracepoints, and how it is known, before anything is done for them, that nobody listens. */
#include <linux/ctype.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "glue.h"

/* NOTRACE is a build without tracepoints, to measure what they cost. */
#if defined(CONFIG_TRACEPOINTS) && !defined(NOTRACE)

#define CREATE_TRACE_POINTS
#include "trace.h"

size_t ashmem_escape_name(char *to, const char *name)
{
	size_t bytes = 0;

	for (; *name; name++) {
		unsigned char byte = *name;

		if (isascii(byte) && isprint(byte) && byte != '\\') {
			if (to)
				to[bytes] = byte;
			bytes++;
		} else {
			if (to)
				sprintf(to + bytes, "\\%03o", byte);
			bytes += 4;
		}
	}
	if (to)
		to[bytes] = 0;
	return bytes + 1;
}

DEFINE_STATIC_KEY_FALSE(ashmem_traced);

int ashmem_traced_begin(void)
{
	static_branch_inc(&ashmem_traced);
	return 0;
}

void ashmem_traced_end(void)
{
	static_branch_dec(&ashmem_traced);
}

/* A static key begins with the number of its users. */
static_assert(offsetof(struct static_key, enabled) == 0);
#define LISTENERS(event) ((const int *)&__tracepoint_##event.key)

const int *const ashmem_trace_listeners[] = {
	[ASHMEM_EVENT_RELEASE] = LISTENERS(release),
	[ASHMEM_EVENT_PURGE] = LISTENERS(purge),
};

#else

#define trace_release(...) do { } while (0)
#define trace_set_name trace_release
#define trace_set_size trace_release
#define trace_set_prot_mask trace_release
#define trace_pin trace_release
#define trace_unpin trace_release
#define trace_purge trace_release

static const int nobody;
const int *const ashmem_trace_listeners[] = {
	[ASHMEM_EVENT_RELEASE ... ASHMEM_EVENT_PURGE] = &nobody,
};

#endif

void ashmem_trace_release(const void *region, unsigned long inode)
{
	trace_release(region, inode);
}

void ashmem_trace_set_name(const void *region, const char *name, long result)
{
	trace_set_name(region, name, result);
}

void ashmem_trace_set_size(const void *region, u64 size, long result)
{
	trace_set_size(region, size, result);
}

void ashmem_trace_set_prot_mask(const void *region, unsigned long inode, u64 mask, long result)
{
	trace_set_prot_mask(region, inode, mask, result);
}

/*
 * struct ashmem_pin as it was read: the offset in the word that comes first in memory. Without
 * tracepoints nobody asks.
 */
static __maybe_unused u32 pin_offset(u64 pin)
{
	u32 words[2];

	memcpy(words, &pin, sizeof(words));
	return words[0];
}

static __maybe_unused u32 pin_len(u64 pin)
{
	u32 words[2];

	memcpy(words, &pin, sizeof(words));
	return words[1];
}

void ashmem_trace_pin(const void *region, unsigned long inode, u64 pin, long result)
{
	trace_pin(region, inode, pin_offset(pin), pin_len(pin), result);
}

void ashmem_trace_unpin(const void *region, unsigned long inode, u64 pin, long result)
{
	trace_unpin(region, inode, pin_offset(pin), pin_len(pin), result);
}

void ashmem_trace_purge(const void *region, unsigned long inode, u64 first, u64 last)
{
	trace_purge(region, inode, first, last - first + 1);
}
