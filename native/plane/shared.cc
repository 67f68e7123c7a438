#include "plane/shared.h"

#include <cstring>
#include <string>

namespace dtunnel {

void Shared::ReportDisabled(Offload offload, int error) {
  EventHead head;
  head.kind = EventKind::kOffloadDisabled;
  head.offload = offload;
  ring.PostRare(head, ::strerrordesc_np(error));
}

void Shared::ReportFailure(const char* what, int error) {
  EventHead head;
  head.kind = EventKind::kFailed;
  ring.PostRare(head, std::string(what) + ": " + ::strerrordesc_np(error));
}

}  // namespace dtunnel
