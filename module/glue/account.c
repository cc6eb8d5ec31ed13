// SPDX-License-Identifier: GPL-2.0
/*
 * What each user has: the node is everybody's, and neither regions nor ranges are memory that the OOM killer sees.
 *
 * A region counts for the user who opened it, for as long as it lives, whoever has its descriptor by then; so do its
 * ranges. In a user namespace that is whoever made the outermost one: he has many numbers there, and they are one user's.
 * (Namespaces that root made count by the number outside.) Those who may exceed the machine's limits (CAP_SYS_RESOURCE)
 * may exceed these.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "glue.h"

/* 64 MiB of ranges; about as much of regions with their files. */
unsigned int ashmem_max_ranges = 1 << 20;
module_param_named(max_ranges, ashmem_max_ranges, uint, 0644);
MODULE_PARM_DESC(max_ranges, "unpinned ranges of one user at most (default 1048576); beyond, ENOMEM");
static unsigned int max_regions = 1 << 16;
module_param(max_regions, uint, 0644);
MODULE_PARM_DESC(max_regions, "open regions of one user at most (default 65536); beyond, ENOMEM");

struct ashmem_account {
	/* Rust counts these (module/src/range.rs). */
	u32 ranges;
	/* Guarded by the lock, as all that follows. */
	unsigned int regions;
	struct hlist_node node;
	kuid_t user;
};

/* Accounts without a region that are kept: a user who opens and closes one region in turn needs no memory for it. */
#define MOST_IDLE 64

static DEFINE_HASHTABLE(accounts, 6);
static DEFINE_SPINLOCK(accounts_lock);
static unsigned int idle;

static struct ashmem_account *find(kuid_t user)
{
	struct ashmem_account *account;

	hash_for_each_possible(accounts, account, node, __kuid_val(user))
		if (uid_eq(account->user, user))
			return account;
	return NULL;
}

static kuid_t current_owner(void)
{
	kuid_t user = current_uid();
	struct user_namespace *space;

	for (space = current_user_ns(); space != &init_user_ns; space = space->parent)
		user = space->owner;
	return uid_eq(user, GLOBAL_ROOT_UID) ? current_uid() : user;
}

struct ashmem_account *ashmem_account_get(void)
{
	kuid_t user = current_owner();
	struct ashmem_account *account, *fresh = NULL;
	unsigned int regions = 0;

	BUILD_BUG_ON(offsetof(struct ashmem_account, ranges) != 0);
	for (;;) {
		spin_lock(&accounts_lock);
		account = find(user);
		if (!account && fresh) {
			account = fresh;
			fresh = NULL;
			hash_add(accounts, &account->node, __kuid_val(user));
			idle++;
		}
		if (account) {
			regions = ++account->regions;
			if (regions == 1)
				idle--;
		}
		spin_unlock(&accounts_lock);
		if (account)
			break;
		fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);
		if (!fresh)
			return NULL;
		fresh->user = user;
	}
	if (unlikely(fresh))
		kfree(fresh);
	if (unlikely(regions > READ_ONCE(max_regions)) && !ashmem_may_exceed()) {
		ashmem_account_put(account);
		return NULL;
	}
	return account;
}

void ashmem_account_put(struct ashmem_account *account)
{
	bool unwanted = false;

	spin_lock(&accounts_lock);
	if (--account->regions == 0) {
		unwanted = idle >= MOST_IDLE;
		if (unwanted)
			hash_del(&account->node);
		else
			idle++;
	}
	spin_unlock(&accounts_lock);
	if (unwanted)
		kfree(account);
}

bool ashmem_may_exceed(void)
{
	/* Without a line in the audit log, which whoever is refused again and again would fill. */
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
}

/* No region is left, so all are idle. */
void ashmem_accounts_exit(void)
{
	struct ashmem_account *account;
	struct hlist_node *next;
	int bucket;

	hash_for_each_safe(accounts, bucket, next, account, node)
		kfree(account);
}
