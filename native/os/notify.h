// Service manager notifications (sd_notify(3)): one datagram to NOTIFY_SOCKET. Node has no unix datagram socket.
#pragma once

#include <string>

#include "base/result.h"

namespace dtunnel {

// Sends `state` ("READY=1", …) to the unix datagram socket named `socket`; a leading '@' means the abstract namespace.
Status NotifyServiceManager(const std::string& socket, const std::string& state);

}  // namespace dtunnel
