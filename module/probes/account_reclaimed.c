// SPDX-License-Identifier: GPL-2.0
/* 6.4: what frees memory outside of slabs tells reclaim by a function. */
#include <linux/mm.h>
#include <linux/swap.h>
void probe(void);
void probe(void)
{
	mm_account_reclaimed_pages(1);
}
