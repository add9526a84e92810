/*
 * What a media server in C does for each packet and viewer: srtp_protect of libsrtp2 and a system call, a packet at a time (`sendto`) or many at
 * once (`sendmmsg`). Prints packets and CPU nanoseconds a packet.
 *
 *   fanout <sendto|sendmmsg> <seconds> <packets a frame> <bytes> <port>...
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define FRAME_NS 33333333L

static double cpu_ns(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e9 + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e3;
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  int batched = strcmp(argv[1], "sendmmsg") == 0;
  double seconds = atof(argv[2]);
  int per_frame = atoi(argv[3]), bytes = atoi(argv[4]), viewers = argc - 5;
  if (bytes < 12 || bytes > 1500) return 2;
  srtp_init();
  srtp_t *sessions = calloc(viewers, sizeof *sessions);
  struct sockaddr_in *to = calloc(viewers, sizeof *to);
  for (int v = 0; v < viewers; v++) {
    unsigned char key[30];
    for (int i = 0; i < 30; i++) key[i] = (unsigned char)(v * 31 + i);
    srtp_policy_t policy;
    memset(&policy, 0, sizeof policy);
    srtp_crypto_policy_set_rtp_default(&policy.rtp);
    srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    policy.ssrc.type = ssrc_any_outbound;
    policy.key = key;
    if (srtp_create(&sessions[v], &policy) != srtp_err_status_ok) return 1;
    to[v].sin_family = AF_INET;
    to[v].sin_port = htons((unsigned short)atoi(argv[5 + v]));
    to[v].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  static unsigned char places[BATCH][2048];
  struct mmsghdr messages[BATCH];
  struct iovec vectors[BATCH];
  memset(messages, 0, sizeof messages);
  long sent = 0;
  unsigned short sequence = 0;
  struct timespec start, next;
  clock_gettime(CLOCK_MONOTONIC, &start);
  next = start;
  double cpu = cpu_ns();
  for (;;) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9 >= seconds) break;
    int waiting = 0;
    for (int p = 0; p < per_frame; p++, sequence++) {
      unsigned char packet[1500] = {0x80, 96, (unsigned char)(sequence >> 8), (unsigned char)sequence};
      packet[8] = 1;
      for (int v = 0; v < viewers; v++) {
        int length = bytes;
        memcpy(places[waiting], packet, bytes);
        if (srtp_protect(sessions[v], places[waiting], &length) != srtp_err_status_ok) return 1;
        sent++;
        if (!batched) {
          sendto(fd, places[waiting], length, 0, (struct sockaddr *)&to[v], sizeof to[v]);
          continue;
        }
        vectors[waiting].iov_base = places[waiting];
        vectors[waiting].iov_len = length;
        messages[waiting].msg_hdr.msg_name = &to[v];
        messages[waiting].msg_hdr.msg_namelen = sizeof to[v];
        messages[waiting].msg_hdr.msg_iov = &vectors[waiting];
        messages[waiting].msg_hdr.msg_iovlen = 1;
        if (++waiting == BATCH) {
          sendmmsg(fd, messages, waiting, 0);
          waiting = 0;
        }
      }
    }
    if (waiting > 0) sendmmsg(fd, messages, waiting, 0);
    next.tv_nsec += FRAME_NS;
    if (next.tv_nsec >= 1000000000L) {
      next.tv_sec++;
      next.tv_nsec -= 1000000000L;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
  }
  printf("%ld %.0f\n", sent, (cpu_ns() - cpu) / sent);
  return 0;
}
