/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client of /dev/ashmem as C programs are: built for 64 and 32 bits, static and dynamic, and run
 * under `ashmem run`. Each verb prints "ok" and exits 0, or says what was wrong and exits 1.
 */
#include "client.h"

static const struct {
	const char *name;
	void (*run)(void);
} verbs[] = {
	{"round-trip", round_trip},
	{"private", private},
	{"relative", relative},
	{"pass", pass},
	{"threads", threads},
	{"interrupted", interrupted},
	{"stopped", stopped},
	{"killed", killed},
	{"race", race},
	{"malformed", malformed},
	{"stuck", stuck},
	{"replaced", replaced},
	{"newer", newer},
	{"together", together},
	{"purges", purges},
	{"denywrite", denywrite},
	{"written", written},
	{"descriptor-race", descriptor_race},
	{"lowered", lowered},
	{"reopened", reopened},
	{"elsewhere", elsewhere},
	{"implied", implied},
	{"roomless", roomless},
	{"null", null},
	{"memfd", memfd},
	{"give", give},
	{"unmapped", unmapped},
	{"reused", reused},
	{"alone", alone},
	{"undumpable", undumpable},
};

static void (*found(const char *name))(void)
{
	for (size_t verb = 0; verb < sizeof verbs / sizeof *verbs; verb++)
		if (!strcmp(verbs[verb].name, name))
			return verbs[verb].run;
	return NULL;
}

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "round-trip";
	void (*run)(void) = found(verb);

	if (run)
		run();
	else if (!strcmp(verb, "inherit"))
		inherit(words[0]);
	else if (!strcmp(verb, "inherited"))
		inherited(atoi(words[2]));
	else if (!strcmp(verb, "crowd"))
		crowd(200);
	else if (!strcmp(verb, "stalled"))
		stalled(words[2]);
	else if (!strcmp(verb, "take"))
		take(0);
	else if (!strcmp(verb, "take-in-want"))
		take(1);
	else if (!strcmp(verb, "churn")) {
		churn();
		return 0;
	} else
		CHECK(!"a verb that is known");
	puts("ok");
	return 0;
}
