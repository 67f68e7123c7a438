// What the threads of a plane share.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "os/tun.h"
#include "os/udp.h"
#include "os/wakeup.h"
#include "plane/config.h"
#include "plane/control_ring.h"
#include "plane/gate.h"
#include "plane/grace.h"
#include "plane/offloads.h"
#include "plane/routes.h"
#include "plane/sessions.h"
#include "plane/stats.h"
#include "plane/token_bucket.h"

namespace dtunnel {

// Bound sockets of one lane, replaced as a whole by a rebind.
struct SocketSet {
  std::vector<std::shared_ptr<UdpSocket>> sockets;
};

// Threads are numbered: lane l sends with thread 2l and receives with 2l + 1; the main thread comes last.
inline std::size_t SendThread(std::size_t lane) { return 2 * lane; }
inline std::size_t ReceiveThread(std::size_t lane) { return 2 * lane + 1; }

struct Shared {
  Shared(std::size_t lane_count, Tun device, OffloadSet enabled, std::function<void()> wake)
      : lanes(lane_count),
        tun(std::move(device)),
        offloads(enabled),
        grace(2 * lane_count),
        gate(2 * lane_count),
        ring(2 * lane_count, std::move(wake)),
        endpoints(&grace),
        counters(std::make_unique<ThreadCounters[]>(2 * lane_count + 1)),
        sockets(lane_count) {}

  std::size_t main_thread() const { return 2 * lanes; }
  std::size_t thread_count() const { return 2 * lanes + 1; }

  const std::size_t lanes;
  const Tun tun;
  Offloads offloads;
  GracePeriods grace;
  Gate gate;
  ControlRing ring;
  SessionTable sessions;
  PeerTable peers;
  EndpointIndex endpoints;
  std::atomic<const Routes*> routes{nullptr};
  const std::unique_ptr<ThreadCounters[]> counters;
  std::vector<std::atomic<const SocketSet*>> sockets;  // by lane
  std::atomic<bool> stopping{false};

  // ICMP errors to inner hosts, as a router limits them (RFC 4443 §2.4 (f)).
  TokenBucket icmp_errors{100, 50};
  // Handshake datagrams and records of unknown sessions reach the event loop at most this fast. The second is smaller,
  // so that old records of a session that is gone do not crowd out handshakes.
  TokenBucket handshakes{20'000, 4'096};
  TokenBucket unknown_records{2'000, 512};

  // Any data thread.
  void ReportDisabled(Offload offload, int error);
  void ReportFailure(const char* what, int error);
};

}  // namespace dtunnel
