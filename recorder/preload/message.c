/* What the shim has to say, on stderr, in one write. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/uio.h>

#include "shim.h"

static char *put_text(char *to, const char *end, const char *text)
{
	while (*text != 0 && to < end)
		*to++ = *text++;
	return to;
}

static char *put_number(char *to, const char *end, unsigned long number)
{
	char digits[20];
	int count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	while (count > 0 && to < end)
		*to++ = digits[--count];
	return to;
}

void say(const char *text, int error)
{
	char line[512];
	char *at = line, *end = line + sizeof(line) - 1;

	at = put_text(at, end, "ioasis record: pid ");
	at = put_number(at, end, (unsigned long)sys(SYS_getpid));
	at = put_text(at, end, ": ");
	at = put_text(at, end, text);
	if (error != 0) {
		at = put_text(at, end, " (error ");
		at = put_number(at, end, (unsigned long)(error < 0 ? -error : error));
		at = put_text(at, end, ")");
	}
	*at++ = '\n';
	sys(SYS_write, 2, line, (size_t)(at - line));
}
