/* An open loop of HTTP/1.1 requests: each has its intended time, from which its latency counts, so that
 * a slow server does not slow its own test down. Compiled and used by proxy.py.
 *
 * usage: open_loop PORT RATE CONNECTIONS SECONDS
 * prints: answers failures p50 p99 (microseconds; the first half second is not counted) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 4096, BUCKETS = 1 << 20 };
static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: open_loop\r\nAccept: */*\r\n\r\n";
static struct { int fd; uint64_t due; int got; char head[2048]; } connections[MOST];
static int idle[MOST], idles;
static uint32_t buckets[BUCKETS];
static uint64_t answers, failures, counted;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }

static void send_one(int i, uint64_t due) {
    connections[i].due = due;
    connections[i].got = 0;
    if (write(connections[i].fd, REQUEST, sizeof REQUEST - 1) != sizeof REQUEST - 1) failures++;
}

/* 1 once the answer is whole. */
static int read_some(int i) {
    char *head = connections[i].head;
    int n = (int)read(connections[i].fd, head + connections[i].got, sizeof connections[i].head - 1 - connections[i].got);
    if (n <= 0) { failures++; return 1; }
    connections[i].got += n;
    head[connections[i].got] = 0;
    char *end = strstr(head, "\r\n\r\n"), *length = strcasestr(head, "content-length:");
    if (!end || !length) return 0;
    if (end + 4 - head + atoi(length + 15) > connections[i].got) return 0;
    if (strncmp(head, "HTTP/1.1 200", 12)) failures++;
    return 1;
}

static uint64_t percentile(double share) {
    uint64_t sum = 0;
    for (uint64_t us = 0; us < BUCKETS; us++)
        if ((sum += buckets[us]) >= share * (double)counted) return us;
    return BUCKETS;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int port = atoi(argv[1]), count = atoi(argv[3]);
    double rate = atof(argv[2]), seconds = atof(argv[4]);
    if (count > MOST) return 2;
    int poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        connections[i].fd = fd;
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.u32 = (uint32_t)i });
        idle[idles++] = i;
    }
    epoll_ctl(poll, EPOLL_CTL_ADD, timer, &(struct epoll_event){ .events = EPOLLIN, .data.u32 = UINT32_MAX });
    uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9), warm = start + 500000000u, sent = 0;
    double gap = 1e9 / rate;
    for (;;) {
        uint64_t time = now();
        if (time >= end) break;
        uint64_t due = start + (uint64_t)((double)sent * gap);
        while (due <= time && idles) {
            send_one(idle[--idles], due);
            due = start + (uint64_t)((double)++sent * gap);
        }
        if (idles) {
            struct itimerspec at = { .it_value = { (time_t)(due / 1000000000u), (long)(due % 1000000000u) } };
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
        }
        struct epoll_event events[256];
        int ready = epoll_wait(poll, events, 256, 100);
        for (int e = 0; e < ready; e++) {
            uint32_t i = events[e].data.u32;
            if (i == UINT32_MAX) { uint64_t n; if (read(timer, &n, 8) < 0 && errno != EAGAIN) die("timer"); continue; }
            if (!read_some((int)i)) continue;
            time = now();
            answers++;
            if (connections[i].due >= warm) {
                uint64_t us = (time - connections[i].due) / 1000;
                buckets[us < BUCKETS ? us : BUCKETS - 1]++;
                counted++;
            }
            idle[idles++] = (int)i;
        }
        if (failures > 1000) break;
    }
    printf("%lu %lu %lu %lu\n", answers, failures, percentile(0.50), percentile(0.99));
    return 0;
}
