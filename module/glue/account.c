// SPDX-License-Identifier: GPL-2.0
/*
 * What each user has: the node is everybody's, and neither regions nor ranges are memory that the OOM killer sees.
 *
 * A region counts for the user who opened it, for as long as it lives, whoever has its descriptor by then; so do its
 * ranges. Those who may exceed the machine's limits (CAP_SYS_RESOURCE) may exceed these.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>

#include "glue.h"

/* 64 MiB of ranges; about as much of regions with their files. */
static unsigned int max_ranges = 1 << 20;
module_param(max_ranges, uint, 0644);
MODULE_PARM_DESC(max_ranges, "unpinned ranges of one user at most (default 1048576); beyond, ENOMEM");
static unsigned int max_regions = 1 << 16;
module_param(max_regions, uint, 0644);
MODULE_PARM_DESC(max_regions, "open regions of one user at most (default 65536); beyond, ENOMEM");

struct ashmem_account {
	struct hlist_node node;
	kuid_t user;
	/* The account lives while it has one. Guarded by the lock. */
	unsigned int regions;
	atomic_t ranges;
};

static DEFINE_HASHTABLE(accounts, 6);
static DEFINE_SPINLOCK(accounts_lock);

static struct ashmem_account *find(kuid_t user)
{
	struct ashmem_account *account;

	hash_for_each_possible(accounts, account, node, __kuid_val(user))
		if (uid_eq(account->user, user))
			return account;
	return NULL;
}

struct ashmem_account *ashmem_account_get(void)
{
	kuid_t user = current_uid();
	struct ashmem_account *account, *fresh = NULL;
	unsigned int regions = 0;

	for (;;) {
		spin_lock(&accounts_lock);
		account = find(user);
		if (!account && fresh) {
			account = fresh;
			fresh = NULL;
			hash_add(accounts, &account->node, __kuid_val(user));
		}
		if (account)
			regions = ++account->regions;
		spin_unlock(&accounts_lock);
		if (account)
			break;
		fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);
		if (!fresh)
			return NULL;
		fresh->user = user;
	}
	kfree(fresh);
	if (unlikely(regions > READ_ONCE(max_regions)) && !capable(CAP_SYS_RESOURCE)) {
		ashmem_account_put(account);
		return NULL;
	}
	return account;
}

void ashmem_account_put(struct ashmem_account *account)
{
	bool last;

	spin_lock(&accounts_lock);
	last = --account->regions == 0;
	if (last)
		hash_del(&account->node);
	spin_unlock(&accounts_lock);
	if (last)
		kfree(account);
}

bool ashmem_account_add_range(struct ashmem_account *account)
{
	if (likely((unsigned int)atomic_inc_return(&account->ranges) <= READ_ONCE(max_ranges)) || capable(CAP_SYS_RESOURCE))
		return true;
	ashmem_account_drop_range(account);
	return false;
}

void ashmem_account_drop_range(struct ashmem_account *account)
{
	atomic_dec(&account->ranges);
}
