/** Parts of the C that only some programs need. */

/** Only in programs of several processes: they take turns, in the recorded order. */
export const PROCESSES = `\

static pid_t pids[];

#define STEP(n, who) for (int go_ = take_turn(n, who); go_; go_ = end_turn(n, who))

static int take_turn(long n, int who)
{
	long waited = 0;

	if (me != who)
		return 0;
	while (__atomic_load_n(&shared->turn, __ATOMIC_SEQ_CST) != n) {
		/* The other process may need the processor that this one waits on. */
		if (++waited < 64) {
			sched_yield();
			continue;
		}
		usleep(50);
		if (waited > 60 * 20000) {
			fprintf(stderr, "process %d: another process did not come to step %ld\\n", me, n);
			exit(70);
		}
	}
	return 1;
}

static int end_turn(long n, int who)
{
	fflush(stdout);
	if (me == who)
		__atomic_store_n(&shared->turn, n + 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void begin_process(int who)
{
	fflush(stdout);
	pids[who] = fork();
	if (pids[who] == -1)
		fail("fork");
	if (pids[who] == 0)
		me = who;
}
`;

/** Only where the capture tells limits and capabilities of its processes. */
export const LIMITS = `\

static MAYBE_UNUSED void capabilities(uint64_t keep)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) != 0)
		return;
	data[0].effective = data[0].permitted & (uint32_t)keep;
	data[1].effective = data[1].permitted & (uint32_t)(keep >> 32);
	if (syscall(SYS_capset, &head, data) != 0)
		printf("capabilities: %s\\n", strerror(errno));
}

static MAYBE_UNUSED void limit_memory(uint64_t soft)
{
	struct rlimit limit;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	limit.rlim_cur = soft;
	if (limit.rlim_max < soft)
		limit.rlim_max = soft;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
		printf("RLIMIT_MEMLOCK: %s\\n", strerror(errno));
}

static MAYBE_UNUSED void user(uid_t uid)
{
	if (uid != getuid() && setresuid(uid, uid, uid) != 0)
		printf("setresuid: %s\\n", strerror(errno));
}
`;
