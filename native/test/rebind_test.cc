// Listening elsewhere, judged by counts: a plane in a network namespace of its own (needs root) whose threads are held
// while datagrams arrive, so that what waits in a socket is known at every step.
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "os/socket_address.h"
#include "plane/handover.h"
#include "plane/plane.h"
#include "test/check.h"
#include "test/namespace.h"

namespace dtunnel::test {
namespace {

constexpr std::uint64_t kFlows = 16;  // so that every lane gets some

IpAddress Loopback(std::uint8_t family, std::uint8_t last = 1) {
  IpAddress address;
  address.family = family;
  if (family == 4) address.octets = {127, 0, 0, last};
  if (family == 6) address.octets[15] = last;
  return address;
}

// A plane that listens on one address of loopback, and somebody who sends to it.
class Listener {
 public:
  Listener(std::uint32_t lanes, std::uint8_t family) : family_(family) {
    PlaneConfig config;
    config.device_name = "rebind";
    config.device_mtu = 1400;
    config.listen = {ListenSpec{Loopback(family), 4433}};
    config.lanes = lanes;
    auto opened = Plane::Open(config, [] {});
    if (Expect(static_cast<bool>(opened), "plane opens")) plane_ = std::move(opened.value());
    for (std::uint64_t i = 0; i < kFlows; ++i) {
      flows_.emplace_back(::socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    }
  }

  bool open() const { return plane_ != nullptr; }
  Plane* operator->() const { return plane_.get(); }
  ListenSpec address() const { return ListenSpec{Loopback(family_), 4433}; }
  static ListenSpec every() { return ListenSpec{IpAddress{}, 4433}; }

  // A socket that was dropped holds its port until every thread has passed a boundary.
  void Rebind(const ListenSpec& spec) {
    Status bound = plane_->Rebind({spec});
    for (int i = 0; i < 500 && !bound && bound.error().code == EADDRINUSE; ++i) {
      ::poll(nullptr, 0, 10);
      plane_->TakeEvents(1000, [](const EventHead&, Bytes) {});
      bound = plane_->Rebind({spec});
    }
    Expect(static_cast<bool>(bound));
  }

  // One datagram of each flow to the address that the plane listened on first.
  void Send() {
    sockaddr_storage to{};
    const socklen_t size = EncodeSocketAddress(Endpoint{Loopback(family_), 4433}, &to);
    for (const Fd& flow : flows_) {
      Expect(::sendto(flow.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), size) == 1);
    }
    sent_ += kFlows;
  }

  // Lets the threads read, until they have read all that was sent; what was lost never comes.
  void ExpectAllRead() {
    plane_->Thaw();
    for (int i = 0; i < 500 && Read() < sent_; ++i) ::poll(nullptr, 0, 10);
    ExpectEqual(Read(), sent_);
  }

  // The overlap is over.
  void DropOld() {
    for (int i = 0; i < 500 && !plane_->DropOldSockets(); ++i) ::poll(nullptr, 0, 10);
    Expect(!plane_->overlapping());
  }

  // Another plane goes on, still held.
  void HandOver() {
    plane_->TakeEvents(1000, [](const EventHead&, Bytes) {});
    const Handover handover = plane_->Freeze();
    std::vector<std::uint8_t> state(HandoverSize(handover));
    Expect(WriteHandover(handover, state));
    std::vector<Fd> copies;
    for (const int fd : plane_->descriptors()) copies.emplace_back(::dup(fd));
    auto next = Plane::Adopt(PlaneConfig{}, std::move(copies), state, [] {});
    if (Expect(static_cast<bool>(next), next ? "" : next.error().syscall)) plane_ = std::move(next.value());
  }

 private:
  std::uint64_t Read() const {
    std::uint64_t read = 0;
    for (std::size_t i = 0; i < plane_->thread_count(); ++i) {
      read += plane_->CountersOf(i).udp_receive_datagrams.value();
    }
    return read;
  }

  const std::uint8_t family_;
  std::unique_ptr<Plane> plane_;
  std::vector<Fd> flows_;
  std::uint64_t sent_ = 0;
};

void EachKind(void (*law)(Listener*)) {
  for (const std::uint32_t lanes : {1u, 3u}) {
    for (const std::uint8_t family : {std::uint8_t{4}, std::uint8_t{6}}) {
      if (!Namespace()) return;
      Listener listener(lanes, family);
      if (listener.open()) law(&listener);
    }
  }
}

// The socket of the one address is the better match until it is closed, and was closed with what it held.
const Test kWidened{"from one address to all of them, nothing is lost when the socket of the one goes (planes)", [] {
  EachKind([](Listener* listener) {
    listener->Rebind(Listener::every());
    Expect(static_cast<bool>((*listener)->Pause()));
    listener->Send();
    Expect(!(*listener)->DropOldSockets());
    listener->Send();
    Expect(!(*listener)->DropOldSockets());
    listener->ExpectAllRead();
    listener->DropOld();
    listener->Send();
    listener->ExpectAllRead();
  });
}};

const Test kUndone{"a widening that is undone leaves the socket of the one address as it was (planes)", [] {
  EachKind([](Listener* listener) {
    const auto before = (*listener)->descriptors();
    Expect(static_cast<bool>((*listener)->Pause()));
    listener->Rebind(Listener::every());
    listener->Send();
    listener->Rebind(listener->address());
    listener->Send();
    listener->DropOld();
    listener->Send();
    Expect((*listener)->descriptors() == before);
    listener->ExpectAllRead();
  });
}};

const Test kNarrowed{"from all addresses to one of them and back, nothing is lost (planes)", [] {
  EachKind([](Listener* listener) {
    for (int round = 0; round < 3; ++round) {
      listener->Rebind(Listener::every());
      listener->Send();
      listener->ExpectAllRead();
      listener->DropOld();
      Expect(static_cast<bool>((*listener)->Pause()));
      listener->Send();
      listener->Rebind(listener->address());
      listener->Send();
      listener->ExpectAllRead();
      listener->DropOld();
    }
  });
}};

const Test kAgain{"a socket that is being drained does not come back, and a new one takes its place (planes)", [] {
  EachKind([](Listener* listener) {
    listener->Rebind(Listener::every());
    Expect(static_cast<bool>((*listener)->Pause()));
    listener->Send();
    Expect(!(*listener)->DropOldSockets());
    listener->HandOver();
    listener->Rebind(listener->address());
    listener->Send();
    listener->ExpectAllRead();
    listener->DropOld();
    listener->Send();
    listener->ExpectAllRead();
  });
}};

// A flow that changes over to the new port has sent what is in the old socket before.
const Test kOrder{"what waits in an old socket is read before what waits in its successor (planes)", [] {
  if (!Namespace()) return;
  Listener listener(1, 4);
  if (!listener.open()) return;
  const Fd flow(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // A record of epoch 0 (RFC 6347 §4.1), which is handed up as an event.
  const auto send = [&flow](std::uint8_t number, std::uint16_t port) {
    const std::uint8_t record[] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, number, 0, 1, number};
    sockaddr_storage to{};
    const socklen_t size = EncodeSocketAddress(Endpoint{Loopback(4), port}, &to);
    Expect(::sendto(flow.get(), record, sizeof record, 0, reinterpret_cast<const sockaddr*>(&to), size) > 0);
  };
  std::vector<std::uint8_t> order;
  for (std::uint8_t number = 1; number < 9; number += 2) {
    Expect(static_cast<bool>(listener->Pause()));
    if (number == 1) listener.Rebind(ListenSpec{Loopback(4), 4434});
    send(number, 4433);
    send(static_cast<std::uint8_t>(number + 1), 4434);
    listener->Thaw();
    for (int i = 0; i < 500 && order.size() <= number; ++i) {
      ::poll(nullptr, 0, 10);
      listener->TakeEvents(1000, [&order](const EventHead&, Bytes record) { order.push_back(record.back()); });
    }
  }
  Expect(order == std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7, 8});
}};

// poll(2) had room for 31 sockets, and what came to another waited for a datagram to one of those.
const Test kMany{"every socket wakes its thread, however many there are (planes)", [] {
  if (!Namespace()) return;
  PlaneConfig config;
  config.device_name = "rebind";
  config.device_mtu = 1400;
  const auto addresses = [](std::uint8_t first) {
    std::vector<ListenSpec> specs;
    for (std::uint8_t i = 0; i < 16; ++i) {
      specs.push_back(ListenSpec{Loopback(4, static_cast<std::uint8_t>(first + i)), 4433});
    }
    return specs;
  };
  config.listen = addresses(1);
  auto opened = Plane::Open(config, [] {});
  if (!Expect(static_cast<bool>(opened), "plane opens")) return;
  Plane& plane = *opened.value();
  Expect(static_cast<bool>(plane.Rebind(addresses(101))));
  const Fd flow(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto read = [&plane] { return plane.CountersOf(ReceiveThread(0)).udp_receive_datagrams.value(); };
  std::uint64_t sent = 0;
  for (const std::uint8_t first : {std::uint8_t{1}, std::uint8_t{101}}) {
    for (const ListenSpec& spec : addresses(first)) {
      sockaddr_storage to{};
      const socklen_t size = EncodeSocketAddress(Endpoint{spec.address, spec.port}, &to);
      Expect(::sendto(flow.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), size) == 1);
      ++sent;
      for (int i = 0; i < 500 && read() < sent; ++i) ::poll(nullptr, 0, 10);
      ExpectEqual(read(), sent);
    }
  }
}};

}  // namespace
}  // namespace dtunnel::test
