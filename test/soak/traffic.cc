// Traffic between two LAN hosts that is checked octet by octet at its end: raw packets, UDP and TCP of both families,
// both ways at once. Prints one JSON object; whether that is good is for the caller to say.
//
//   traffic A B [seconds=3] [largest=1400] [window=200] [seed=1] [lossy=0] [outerEcn=-1] [patience=10]
//          [only=raw,udp,tcp]
//
// A and B: NETNS,DEVICE,NETWORK4,NETWORK6,GATEWAYMAC (hosts.h).
#include <netinet/in.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>

#include "raw_traffic.h"
#include "tcp_traffic.h"
#include "udp_traffic.h"

namespace dtunnel::soak {
namespace {

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

void Print(const char* name, const Verdict& v) {
  std::printf(
      "\"%s\":{\"sent\":%llu,\"intact\":%llu,\"lost\":%llu,\"late\":%llu,\"twice\":%llu,\"damaged\":%llu,"
      "\"marked\":%llu,\"examples\":[",
      name, static_cast<unsigned long long>(v.sent), static_cast<unsigned long long>(v.intact),
      static_cast<unsigned long long>(v.lost), static_cast<unsigned long long>(v.late),
      static_cast<unsigned long long>(v.twice), static_cast<unsigned long long>(v.damaged),
      static_cast<unsigned long long>(v.marked));
  for (std::size_t i = 0; i < v.examples.size(); ++i) std::printf("%s%s", i == 0 ? "" : ",", Quoted(v.examples[i]).c_str());
  std::printf("]},");
}

struct Options {
  Plan plan;
  std::string only = "raw,udp,tcp";
};

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 3; i < argc; ++i) {
    const std::string word = argv[i];
    const std::size_t at = word.find('=');
    const std::string name = word.substr(0, at);
    const std::string value = at == std::string::npos ? "" : word.substr(at + 1);
    Plan& plan = options.plan;
    if (name == "seconds") plan.seconds = std::atof(value.c_str());
    else if (name == "largest") plan.largest = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "window") plan.window = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "seed") plan.seed = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "lossy") plan.lossy = value == "1";
    else if (name == "patience") plan.patience = std::atof(value.c_str());
    else if (name == "outerEcn") plan.outer_ecn = std::atoi(value.c_str());
    else if (name == "only") options.only = value;
    else {
      std::fprintf(stderr, "traffic: unknown option %s\n", word.c_str());
      std::exit(2);
    }
  }
  return options;
}

int Main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: traffic A B [name=value …]\n");
    return 2;
  }
  const Host a = Host::Parse(argv[1]);
  const Host b = Host::Parse(argv[2]);
  const Options options = Parse(argc, argv);
  const auto wanted = [&](const char* name) { return options.only.find(name) != std::string::npos; };
  const Plan& plan = options.plan;

  std::vector<std::unique_ptr<RawTraffic>> raw;
  std::vector<std::unique_ptr<UdpTraffic>> udp;
  std::vector<std::unique_ptr<TcpTraffic>> tcp;
  for (const bool forth : {true, false}) {
    const Host& from = forth ? a : b;
    const Host& to = forth ? b : a;
    const std::uint64_t seed = plan.seed * 1000 + (forth ? 0 : 500);
    if (wanted("raw")) raw.push_back(std::make_unique<RawTraffic>(from, to, plan, seed));
    if (wanted("udp")) {
      for (std::size_t i = 0; i < kUdpStyles; ++i) {
        Plan small = plan;  // many senders share the queues
        small.window = std::max<std::size_t>(plan.window / 8, 8);
        udp.push_back(std::make_unique<UdpTraffic>(from, to, small, StyleOf(i), static_cast<std::uint16_t>(5000 + i), seed + i));
      }
    }
    if (wanted("tcp")) {
      for (std::size_t i = 0; i < 4; ++i) {
        tcp.push_back(std::make_unique<TcpTraffic>(from, to, plan, i < 2 ? AF_INET : AF_INET6,
                                                   static_cast<std::uint16_t>(6000 + i), seed + 10 + i));
      }
    }
  }

  std::mutex mutex;
  Verdict raw_sum;
  Verdict udp_sum;
  TcpVerdict tcp_sum;
  std::vector<std::thread> threads;
  const auto add = [&](auto* sum, const auto& verdict) {
    const std::lock_guard<std::mutex> lock(mutex);
    sum->Add(verdict);
  };
  for (auto& one : raw) threads.emplace_back([&, t = one.get()] { add(&raw_sum, t->Run()); });
  for (auto& one : udp) threads.emplace_back([&, t = one.get()] { add(&udp_sum, t->Run()); });
  for (auto& one : tcp) {
    threads.emplace_back([t = one.get()] { t->Write(); });
    threads.emplace_back([&, t = one.get()] { add(&tcp_sum, t->Read()); });
  }
  for (std::thread& thread : threads) thread.join();

  std::printf("{");
  Print("raw", raw_sum);
  Print("udp", udp_sum);
  std::printf("\"tcp\":{\"streams\":%llu,\"octets\":%llu,\"damaged\":%llu,\"incomplete\":%llu}}\n",
              static_cast<unsigned long long>(tcp_sum.streams), static_cast<unsigned long long>(tcp_sum.octets),
              static_cast<unsigned long long>(tcp_sum.damaged), static_cast<unsigned long long>(tcp_sum.incomplete));
  return 0;
}

}  // namespace
}  // namespace dtunnel::soak

int main(int argc, char** argv) { return dtunnel::soak::Main(argc, argv); }
