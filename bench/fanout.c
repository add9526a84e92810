/*
 * What a media server in C does for each packet and viewer: a copy, srtp_protect of libsrtp2, and a system call, a packet at a time (`sendto`), 64
 * at once (`sendmmsg`), or 64 at once of which those of a frame to one viewer are one message that the kernel cuts (`gso`). It does nothing else.
 * Prints packets, processor nanoseconds a packet, and packets a second.
 *
 *   fanout <sendto|sendmmsg|gso> <seconds> <packets a frame> <bytes> <microseconds from frame to frame, 0: as fast as it can> <port>...
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define PLACE 2048
#define MAX_FRAME 16

static unsigned char places[BATCH * PLACE];
static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];
static char controls[BATCH][CMSG_SPACE(sizeof(unsigned short))];
static int fd;

static double cpu_ns(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e9 + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e3;
}

static double wall_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

static void make_packet(unsigned char *at, int bytes, unsigned short sequence) {
  static unsigned char original[1500] = {0x80, 96};
  original[2] = (unsigned char)(sequence >> 8);
  original[3] = (unsigned char)sequence;
  original[8] = 1;
  memcpy(at, original, bytes);
}

static int protect(srtp_t session, unsigned char *at, int bytes) {
  int length = bytes;
  if (srtp_protect(session, at, &length) != srtp_err_status_ok) exit(1);
  return length;
}

static struct msghdr *message(int i, struct sockaddr_in *to, unsigned char *from, size_t length) {
  vectors[i].iov_base = from;
  vectors[i].iov_len = length;
  struct msghdr *header = &messages[i].msg_hdr;
  header->msg_name = to;
  header->msg_namelen = sizeof *to;
  header->msg_iov = &vectors[i];
  header->msg_iovlen = 1;
  return header;
}

/** It may take fewer than there are. */
static void send_all(int count) {
  for (int done = 0; done < count;) {
    int taken = sendmmsg(fd, messages + done, count - done, 0);
    if (taken <= 0) {
      perror("sendmmsg");
      exit(1);
    }
    done += taken;
  }
}

int main(int argc, char **argv) {
  if (argc < 7) return 2;
  int batched = strcmp(argv[1], "sendmmsg") == 0, cut = strcmp(argv[1], "gso") == 0;
  double seconds = atof(argv[2]);
  int per_frame = atoi(argv[3]), bytes = atoi(argv[4]), viewers = argc - 6;
  double interval = atof(argv[5]) * 1e3;
  if (bytes < 12 || bytes > 1400 || per_frame < 1 || per_frame > MAX_FRAME) return 2;
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
    to[v].sin_port = htons((unsigned short)atoi(argv[6 + v]));
    to[v].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  int size = 4 << 20;
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  long sent = 0;
  unsigned short sequence = 0;
  double start = wall_ns(), next = start, cpu = cpu_ns();
  while (wall_ns() - start < seconds * 1e9) {
    int waiting = 0, used = 0;
    if (cut) {
      for (int v = 0; v < viewers; v++) {
        if (used + per_frame > BATCH) {
          send_all(waiting);
          waiting = used = 0;
        }
        unsigned char *first = places + used * PLACE, *at = first;
        int length = 0;
        for (int p = 0; p < per_frame; p++, at += length, used++) {
          make_packet(at, bytes, (unsigned short)(sequence + p));
          length = protect(sessions[v], at, bytes);
        }
        struct msghdr *header = message(waiting, &to[v], first, at - first);
        header->msg_control = controls[waiting];
        header->msg_controllen = sizeof controls[waiting];
        struct cmsghdr *control = CMSG_FIRSTHDR(header);
        control->cmsg_level = SOL_UDP;
        control->cmsg_type = UDP_SEGMENT;
        control->cmsg_len = CMSG_LEN(sizeof(unsigned short));
        *(unsigned short *)CMSG_DATA(control) = (unsigned short)length;
        waiting++;
      }
    } else {
      for (int p = 0; p < per_frame; p++) {
        for (int v = 0; v < viewers; v++) {
          unsigned char *at = places + waiting * PLACE;
          make_packet(at, bytes, (unsigned short)(sequence + p));
          int length = protect(sessions[v], at, bytes);
          if (!batched) {
            if (sendto(fd, at, length, 0, (struct sockaddr *)&to[v], sizeof to[v]) < 0) return 1;
            continue;
          }
          message(waiting, &to[v], at, length);
          if (++waiting == BATCH) {
            send_all(waiting);
            waiting = 0;
          }
        }
      }
    }
    send_all(waiting);
    sequence = (unsigned short)(sequence + per_frame);
    sent += (long)per_frame * viewers;
    if (interval <= 0) continue;
    next += interval;
    struct timespec until = {(time_t)(next / 1e9), (long)(next - (double)(time_t)(next / 1e9) * 1e9)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  }
  printf("%ld %.0f %.0f\n", sent, (cpu_ns() - cpu) / sent, sent / ((wall_ns() - start) / 1e9));
  return 0;
}
