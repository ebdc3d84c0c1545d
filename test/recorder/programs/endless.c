/* endless PATH: makes calls until a signal ends it, and says when the first is made. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
	uint32_t alloc[3] = { sizeof(alloc), 0, 0 };

	for (long i = 0;; i++) {
		alloc[1] = (uint32_t)i;
		ioctl(fd, 0x3b81, alloc);
		if (i == 100) {
			puts("running");
			fflush(stdout);
		}
		usleep(100);
	}
}
