// broker/auth/cert_subject.h - compares a user of the configuration with the subject of a certificate.
//
// Room: pure.
#pragma once

#include <string_view>

namespace weir::auth {

/// Both in the form of RFC 2253 ("CN=n1,O=Weir"). The order of the parts and blanks around them do not
/// matter, nor does the case of the attributes' names. Empty ones are never the same.
bool same_subject(std::string_view a, std::string_view b);

}  // namespace weir::auth
