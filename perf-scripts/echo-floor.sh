#!/usr/bin/env bash
# What does a request cost on this machine that nobody does anything for? The floor under every broker's CPU and latency.
#
#   perf-scripts/echo-floor.sh                 1,000, 5,000 and 20,000 requests a second, three seconds each
#   perf-scripts/echo-floor.sh 2000            another rate
#   perf-scripts/echo-floor.sh --durable . 1000              what has come together is first written to a file in this folder and synced
#   perf-scripts/echo-floor.sh --request 65600 5000          other sizes in bytes: what is sent to the server,
#   perf-scripts/echo-floor.sh --request 100 --answer 65536 5000      and what it sends back
#
# A server on the last core waits with epoll, receives 1,124 bytes and sends 64; a client with eight connections sends by a fixed plan
# and counts from the planned time. With --durable the server writes as much, in blocks of 4 KiB and past the page cache, to a file that was
# written before, and syncs it, once for all that had come when it woke: what a broker with one journal cannot do without. Needs a C
# compiler. Sample answer (a virtual machine with two cores, nothing else running):
#
#   1000/s: p50 61, p99 157, p99.9 1522 us; server 13.5 us of CPU a request, 88 MB a second of CPU
#   5000/s: p50 16, p99 33, p99.9 61 us; server 5.5 us of CPU a request, 216 MB a second of CPU
set -euo pipefail
command -v cc >/dev/null || { echo "echo-floor: there is no C compiler (cc) here" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/echo.c" <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 8, SECONDS = 3, PLANNED = 1 << 16, BLOCK = 4096, JOURNAL = 64 << 20, LARGEST = 1 << 20 };
static char buffer[LARGEST];
static char blocks[CONNECTIONS * LARGEST] __attribute__((aligned(BLOCK))) = "written";
static long request, answer;

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void watch(int poll, int file, unsigned number) {
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = number };
    if (epoll_ctl(poll, EPOLL_CTL_ADD, file, &event) != 0) { perror("epoll_ctl"); exit(1); }
}

static void must(int is_done, const char *what) {
    if (!is_done) { perror(what); exit(1); }
}

static int prewritten(const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    must(file >= 0, path);
    for (long at = 0; at < JOURNAL; at += LARGEST) must(pwrite(file, blocks, LARGEST, at) == LARGEST, path);
    must(fsync(file) == 0, path);
    return file;
}

static void serve(const int *files, int journal) {
    int poll = epoll_create1(0), open = CONNECTIONS;
    long received[CONNECTIONS] = { 0 }, at = 0;
    for (int i = 0; i < CONNECTIONS; i++) watch(poll, files[i], i);
    while (open > 0) {
        struct epoll_event events[CONNECTIONS];
        int count = epoll_wait(poll, events, CONNECTIONS, -1);
        long whole = 0;
        for (int k = 0; k < count; k++) {
            int i = events[k].data.u32;
            long bytes = recv(files[i], buffer, sizeof buffer, 0);
            if (bytes <= 0) { close(files[i]); open--; continue; }
            whole += (received[i] += bytes) / request;
        }
        if (whole > 0 && journal >= 0) {
            long size = (whole * request + BLOCK - 1) / BLOCK * BLOCK;
            if (at + size > JOURNAL) at = 0;
            must(pwrite(journal, blocks, size, at) == size, "write");
            must(fdatasync(journal) == 0, "sync");
            at += size;
        }
        for (int i = 0; i < CONNECTIONS; i++)
            for (; received[i] >= request; received[i] -= request) send(files[i], buffer, answer, 0);
    }
}

static int ascending(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc < 4) { fprintf(stderr, "echo-floor: a rate, two sizes and perhaps a file, please\n"); return 2; }
    long rate = atol(argv[1]), total = rate * SECONDS;
    request = atol(argv[2]), answer = atol(argv[3]);
    if (rate <= 0) { fprintf(stderr, "echo-floor: %s is no rate\n", argv[1]); return 2; }
    if (request < 1 || request > LARGEST || answer < 1 || answer > LARGEST) { fprintf(stderr, "echo-floor: sizes go from 1 to %d bytes\n", LARGEST); return 2; }
    int journal = argc > 4 ? prewritten(argv[4]) : -1;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, ours[CONNECTIONS], theirs[CONNECTIONS];
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    if (bind(listener, (void *)&address, length) || listen(listener, CONNECTIONS) || getsockname(listener, (void *)&address, &length)) { perror("listen"); return 1; }
    for (int i = 0; i < CONNECTIONS; i++) {
        ours[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(ours[i], (void *)&address, length) || (theirs[i] = accept(listener, 0, 0)) < 0) { perror("connect"); return 1; }
        setsockopt(ours[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(theirs[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    pid_t server = fork();
    if (server == 0) {
        cpu_set_t last;
        CPU_ZERO(&last);
        CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &last);
        sched_setaffinity(0, sizeof last, &last);
        for (int i = 0; i < CONNECTIONS; i++) close(ours[i]);
        serve(theirs, journal);
        return 0;
    }
    for (int i = 0; i < CONNECTIONS; i++) close(theirs[i]);
    int poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    for (int i = 0; i < CONNECTIONS; i++) watch(poll, ours[i], i);
    watch(poll, timer, CONNECTIONS);
    static long plan[CONNECTIONS][PLANNED];
    long head[CONNECTIONS] = { 0 }, tail[CONNECTIONS] = { 0 }, partly[CONNECTIONS] = { 0 };
    long *times = malloc(total * sizeof *times), sent = 0, got = 0, start = now() + 1000000;
    while (got < total) {
        long due = start + sent * 1000000000L / rate;
        for (; sent < total && due <= now(); due = start + sent * 1000000000L / rate) {
            int i = sent++ % CONNECTIONS;
            plan[i][head[i]++ % PLANNED] = due;
            send(ours[i], buffer, request, 0);
        }
        struct itimerspec until = { .it_value = { due / 1000000000L, due % 1000000000L } };
        if (sent < total) timerfd_settime(timer, TFD_TIMER_ABSTIME, &until, 0);
        struct epoll_event events[CONNECTIONS + 1];
        int count = epoll_wait(poll, events, CONNECTIONS + 1, 1000);
        for (int k = 0; k < count; k++) {
            int i = events[k].data.u32;
            if (i == CONNECTIONS) { if (read(timer, buffer, 8) < 0) perror("timer"); continue; }
            for (partly[i] += recv(ours[i], buffer, sizeof buffer, 0); partly[i] >= answer; partly[i] -= answer)
                times[got++] = now() - plan[i][tail[i]++ % PLANNED];
        }
    }
    for (int i = 0; i < CONNECTIONS; i++) close(ours[i]);
    struct rusage used;
    if (wait4(server, 0, 0, &used) < 0) { perror("wait"); return 1; }
    double cpu = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
    qsort(times, total, sizeof *times, ascending);
    printf("%ld/s: p50 %ld, p99 %ld, p99.9 %ld us; server %.1f us of CPU a request, %.0f MB a second of CPU\n", rate, times[total / 2] / 1000,
           times[total * 99 / 100] / 1000, times[total * 999 / 1000] / 1000, cpu / total, total * (request + answer) / cpu);
    return 0;
}
C
cc -O2 -o "$folder/echo" "$folder/echo.c"
journal=() request=1124 answer=64
while [[ ${1:-} == --* ]]; do
  case "$1" in
    --request) request=${2:?how many bytes} ;;
    --answer) answer=${2:?how many bytes} ;;
    --durable)
      [ -d "${2:-}" ] || { echo "echo-floor: --durable wants a folder to write in" >&2; exit 2; }
      journal=("$(mktemp "$2/echo-floor.XXXXXX")")
      trap 'rm -rf "$folder" "${journal[0]}"' EXIT ;;
    *) echo "echo-floor: there is no $1; the head of this file says what there is" >&2; exit 2 ;;
  esac
  shift 2
done
[ $# -gt 0 ] || set -- 1000 5000 20000
for rate in "$@"; do timeout 60 "$folder/echo" "$rate" "$request" "$answer" "${journal[@]}"; done
