/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The border between the two halves of the module.
 *
 * The Rust half decides; this C half holds what the kernel defines as a macro, an inline or a
 * structure's layout. Only C integers and opaque pointers cross. Functions named ashmem_rs_* are
 * Rust's, called from here; all others are C's, called from Rust (module/src/glue.rs declares
 * them).
 */
#ifndef ASHMEM_GLUE_H
#define ASHMEM_GLUE_H

#include <linux/types.h>

struct file;
struct iov_iter;
struct seq_file;
struct shrink_control;
struct shrinker;
struct vm_area_struct;

/*
 * Memory for the Rust half of a region and of an unpinned range, in bytes. Rust asserts that its
 * types fit.
 */
#define ASHMEM_REGION_BYTES 112
#define ASHMEM_RANGE_BYTES 64

/* How many workers purge. As Purger::WORKERS in module/src/order.rs. */
#define ASHMEM_WORKERS 4

/*
 * Both are opaque here: the first is struct region_memory's start, the second an object of the
 * range cache.
 */
struct ashmem_region;
struct ashmem_range;
/* What one user or memory cgroup has (account.h); Rust counts the ranges. */
struct ashmem_account;

/* ---- Rust's, called from C ---- */

/* Sizes of the Rust types, so that two halves that were not built together never meet. */
extern const size_t ashmem_rs_region_bytes;
extern const size_t ashmem_rs_range_bytes;

int ashmem_rs_open(struct file *file);
void ashmem_rs_release(struct ashmem_region *region);
long ashmem_rs_ioctl(struct ashmem_region *region, unsigned int cmd, unsigned long arg);
long ashmem_rs_compat_ioctl(struct ashmem_region *region, unsigned int cmd, unsigned long arg);
/* The same while a request's events are listened to. */
long ashmem_rs_traced_ioctl(struct ashmem_region *region, unsigned int cmd, unsigned long arg);
long ashmem_rs_traced_compat_ioctl(struct ashmem_region *region, unsigned int cmd,
				   unsigned long arg);
int ashmem_rs_mmap(struct ashmem_region *region, struct vm_area_struct *vma, u64 len, u32 prot);
/* The backing file that read(2) or lseek(2) shall use, NULL for end of file, or an ERR_PTR. */
struct file *ashmem_rs_read_from(struct ashmem_region *region);
struct file *ashmem_rs_seek_in(struct ashmem_region *region);
void ashmem_rs_show_fdinfo(struct ashmem_region *region, struct seq_file *seq);
/* The backing file's inode number, 0 while there is none. */
unsigned long ashmem_rs_inode(const struct ashmem_region *region);
/* Pages that a purge could free. */
unsigned long ashmem_rs_purgeable(void);
/*
 * @worker, one of ASHMEM_WORKERS, purges the oldest range of a region that nobody purges at the
 * moment: 1; 0 if there is none; -EBUSY if there may be one, to be looked for anew. Sleeps, never
 * to be called in reclaim.
 */
int ashmem_rs_purge_oldest(unsigned int worker);
/*
 * The same for the next range of a region whose memory cgroup is waited for, from where the last
 * such look ended; 0 at the order's end, and the next look begins at the oldest range.
 */
int ashmem_rs_purge_awaited(unsigned int worker);
/* Whether a purge is under way; whether one is, or there is a range to purge. */
bool ashmem_rs_is_at_work(void);
bool ashmem_rs_may_purge(void);

/* ---- C's, called from Rust ---- */

/* memory.c: regions, ranges and names. NULL without memory. */
struct ashmem_region *ashmem_region_alloc(void);
void ashmem_region_free(struct ashmem_region *region);
struct ashmem_range *ashmem_range_alloc(void);
void ashmem_range_free(struct ashmem_range *range);
void *ashmem_name_alloc(size_t bytes);
void ashmem_name_free(void *name);
extern const u32 ashmem_page_shift;

/*
 * account.c: one region more for the caller's user, NULL without memory or beyond what a user may
 * have; one less.
 */
struct ashmem_account *ashmem_account_get(void);
void ashmem_account_put(struct ashmem_account *account);
extern unsigned int ashmem_max_ranges;
/* Whether the caller may have more than a user may. */
bool ashmem_may_exceed(void);

/*
 * cgroup.c: the same for the caller's memory cgroup, to be put as a user's; NULL for the machine's
 * own.
 */
struct ashmem_account *ashmem_cgroup_get(void);

/*
 * lock.c: the region's mutex, the purge order's spinlock, the mutex of PURGE_ALL_CACHES (false: the
 * caller was killed).
 */
void ashmem_region_lock(struct ashmem_region *region);
void ashmem_region_unlock(struct ashmem_region *region);
void ashmem_order_lock(void);
void ashmem_order_unlock(void);
bool ashmem_purge_all_lock(void);
void ashmem_purge_all_unlock(void);
/*
 * Sleeps while *@word is @seen; false if the caller was killed meanwhile. ashmem_wake has its
 * waiters look again.
 */
bool ashmem_wait_while(const u32 *word, u32 seen);
void ashmem_wake(const u32 *word);
/* Lets others run; whether the caller was killed. */
bool ashmem_pause(void);

/*
 * unpinning.c: whether anything but root's requests may purge, as a parameter has it at the moment;
 * whether UNPIN then does, a parameter itself.
 */
bool ashmem_may_reclaim(void);
extern bool ashmem_unpinning_at_once;

/* user.c: the caller's memory and rights. Addresses are the caller's; 0 or -EFAULT. */
int ashmem_read_pin(u64 address, u64 *pin);
/* As strncpy_from_user: the length without NUL, @room if no NUL came by then, or -EFAULT. */
long ashmem_read_string(char *to, u64 address, long room);
int ashmem_write(u64 address, const void *from, unsigned long bytes);
u64 ashmem_compat_pointer(u64 address);
bool ashmem_may_purge(void);
bool ashmem_read_implies_exec(void);

/* backing.c: the shmem file behind a region. */
struct file *ashmem_backing_create(const char *name, u64 size, const struct vm_area_struct *vma,
				   u32 mask);
void ashmem_backing_put(struct file *backing);
void ashmem_backing_set_mask(struct file *backing, u32 mask);
unsigned long ashmem_backing_inode(const struct file *backing);
u64 ashmem_backing_pages(const struct file *backing);
/* Gives @vma the backing file, without the rights in @withheld. */
int ashmem_backing_map(struct file *backing, struct vm_area_struct *vma, u32 withheld);
/*
 * Takes pages @first to @last out of the file; it keeps its size. Tells ashmem_purged what became
 * free, as it does.
 */
void ashmem_backing_punch(struct file *backing, u64 first, u64 last, struct ashmem_account *cgroup);

/* device.c */
void ashmem_file_set_region(struct file *file, struct ashmem_region *region);
void ashmem_fdinfo_file(struct seq_file *seq, unsigned long inode);
void ashmem_fdinfo_name(struct seq_file *seq, const char *name);
void ashmem_fdinfo_more(struct seq_file *seq, u64 size, u32 mask, u64 pinned, u64 unpinned,
			u64 purged, u64 resident);

/*
 * trace.c: the events, and how many listeners those have that belong to no request. Those of open,
 * ioctl and mmap are C's own (device.c).
 */
extern const int *const ashmem_trace_listeners[];
enum ashmem_event {
	ASHMEM_EVENT_RELEASE,
	ASHMEM_EVENT_PURGE,
};
void ashmem_trace_release(const void *region, unsigned long inode);
void ashmem_trace_set_name(const void *region, const char *name, long result);
void ashmem_trace_set_size(const void *region, u64 size, long result);
void ashmem_trace_set_prot_mask(const void *region, unsigned long inode, u64 mask, long result);
void ashmem_trace_pin(const void *region, unsigned long inode, u64 pin, long result);
void ashmem_trace_unpin(const void *region, unsigned long inode, u64 pin, long result);
void ashmem_trace_purge(const void *region, unsigned long inode, u64 first, u64 last);

/* ---- between C files ---- */

int ashmem_memory_init(void);
void ashmem_memory_exit(void);
void ashmem_accounts_exit(void);
int ashmem_backing_init(void);
/* Pages of a region that belongs to @cgroup, NULL for the machine's own, became free. */
void ashmem_purged(struct ashmem_account *cgroup, unsigned long pages);
/* Pages that want of memory may take: those that a purge could free, or none. */
unsigned long ashmem_reclaimable(void);
typedef unsigned long ashmem_shrink(struct shrinker *shrinker, struct shrink_control *control);
/* NULL without memory. */
struct shrinker *ashmem_shrinker_register(unsigned int flags, const char *name,
					  ashmem_shrink *count, ashmem_shrink *scan);
void ashmem_shrinker_unregister(struct shrinker *shrinker);
/* Has up to so many pages of @cgroup's regions purged. How many were, or SHRINK_STOP. */
unsigned long ashmem_shrink_cgroup(struct ashmem_account *cgroup, unsigned long asked,
				   bool may_wait);
int ashmem_shrinker_init(void);
void ashmem_shrinker_exit(void);
int ashmem_cgroup_init(void);
void ashmem_cgroup_exit(void);
/*
 * -EEXIST in a kernel with a driver of its own. Asked before anything is registered: a second cache
 * or device of the same name would put stack traces into the log.
 */
int ashmem_device_refuse(void);
int ashmem_device_init(void);
void ashmem_device_exit(void);

#endif
