/*
 * threads PATH THREADS CALLS FORKS FORK_CALLS: makes calls on a descriptor from many threads, from children
 * that it forks meanwhile, and from a signal handler; prints how many of each, and how many answers or error
 * numbers were not what the stand-in gives. The user_va of each call is unique: who, then which.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

struct map {
	uint32_t size, flags, ioas_id, reserved;
	uint64_t user_va, length, iova;
};

static int fd;
static long calls;
static atomic_long wrong, signals;

static void call(uint64_t who, uint64_t which)
{
	struct map map = { sizeof(map), 7, (uint32_t)who, 0, who << 32 | which, 4096, which };
	uint64_t wanted = map.user_va;

	errno = 4711;
	int ret = ioctl(fd, 0x3b85, &map);
	int is_bad = wanted % 7 == 0;
	if (ret != (is_bad ? -1 : 0) || errno != (is_bad ? EFAULT : 4711) || map.iova != (is_bad ? which : ~wanted))
		wrong++;
}

static void *run(void *who)
{
	for (long i = 0; i < calls; i++)
		call((uint64_t)(uintptr_t)who, (uint64_t)i);
	return NULL;
}

/* Signals may arrive within a call of the recorder. */
static void on_signal(int number)
{
	int saved = errno;

	(void)number;
	call(1000, (uint64_t)signals++);
	errno = saved;
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	int threads = atoi(argv[2]), forks = atoi(argv[4]);
	long fork_calls = atol(argv[5]);
	pthread_t ids[64];
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };

	calls = atol(argv[3]);
	fd = open(argv[1], O_RDWR);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, run, (void *)(uintptr_t)(i + 1));
	for (int i = 0; i < forks; i++) {
		pid_t child = fork();
		if (child == 0) {
			for (long j = 0; j < fork_calls; j++)
				call((uint64_t)(2000 + i), (uint64_t)j);
			_exit(wrong == 0 ? 0 : 1);
		}
		int status;
		while (waitpid(child, &status, 0) < 0)
			;
		if (status != 0)
			wrong++;
	}
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	setitimer(ITIMER_REAL, &never, NULL);
	close(fd);
	printf("{\"threads\":%d,\"calls\":%ld,\"forks\":%d,\"forkCalls\":%ld,\"signals\":%ld,\"wrong\":%ld}\n", threads, calls,
		forks, fork_calls, (long)signals, (long)wrong);
	return wrong == 0 ? 0 : 1;
}
