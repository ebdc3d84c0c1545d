/*
 * overhead PATH CALLS: IOMMU_IOAS_MAP on a file, which no driver answers (ENOTTY): what is left is the cost of
 * the system call, and of whoever stands before it. Prints nanoseconds per call: of the clock over all calls,
 * of the clock in the median of 100 parts, and of the thread's processor time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#define PARTS 100

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return a < b ? -1 : a > b;
}

int main(int argc, char **argv)
{
	struct {
		uint32_t size, flags, ioas_id, reserved;
		uint64_t user_va, length, iova;
	} map = { 40, 7, 1, 0, 0x7f0000000000, 4096, 0 };
	double parts[PARTS];
	long calls = argc == 3 ? atol(argv[2]) / PARTS : 0;
	int fd = argc == 3 ? open(argv[1], O_RDWR) : -1;

	if (calls < 1 || fd < 0)
		return 2;
	ioctl(fd, 0x3b85, &map); /* the first makes the channel */
	double start = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID);
	for (int part = 0; part < PARTS; part++) {
		double from = now(CLOCK_MONOTONIC);
		for (long i = 0; i < calls; i++) {
			map.iova += 4096;
			ioctl(fd, 0x3b85, &map);
		}
		parts[part] = (now(CLOCK_MONOTONIC) - from) / (double)calls;
	}
	double total = (double)calls * PARTS;
	cpu = (now(CLOCK_THREAD_CPUTIME_ID) - cpu) / total;
	double mean = (now(CLOCK_MONOTONIC) - start) / total;
	qsort(parts, PARTS, sizeof(parts[0]), compare);
	printf("{\"meanNs\":%.1f,\"medianNs\":%.1f,\"cpuNs\":%.1f}\n", mean, parts[PARTS / 2], cpu);
	return 0;
}
