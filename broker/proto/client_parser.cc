#include "broker/proto/client_parser.h"

#include <algorithm>
#include <cstring>

namespace weir::proto {
namespace {

constexpr std::size_t kVerbMax = 7;          // CONNECT
constexpr std::size_t kSizeDigitsMax = 9;    // as nats-server: longer numbers are wrong, also 0000000002
constexpr std::size_t kKeepLineBytes = 512;  // capacity that an idle parser may keep

enum class Verb : std::uint8_t { kConnect, kPub, kHpub, kSub, kUnsub, kPing, kPong, kInfo, kOk, kErr };

struct VerbRule {
  Verb verb;
  std::string_view name;
  bool needs_blank;  // the others take anything after the verb, as nats-server does ("PINGX")
};

constexpr VerbRule kVerbs[] = {
    {Verb::kPub, "pub", true},          {Verb::kSub, "sub", true},    {Verb::kHpub, "hpub", true},
    {Verb::kUnsub, "unsub", true},      {Verb::kPing, "ping", false}, {Verb::kPong, "pong", false},
    {Verb::kConnect, "connect", false}, {Verb::kInfo, "info", true},  {Verb::kOk, "+ok", false},
    {Verb::kErr, "-err", true},
};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
bool blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

/// How far `line` agrees with `rule`: whole when the verb (and its blank) is there.
enum class Fit : std::uint8_t { kNo, kSoFar, kWhole };

Fit fit(std::string_view line, const VerbRule& rule) {
  std::size_t n = std::min(line.size(), rule.name.size());
  for (std::size_t i = 0; i < n; ++i) {
    if (lower(line[i]) != rule.name[i]) return Fit::kNo;
  }
  if (line.size() < rule.name.size()) return Fit::kSoFar;
  if (!rule.needs_blank) return Fit::kWhole;
  if (line.size() == rule.name.size()) return Fit::kSoFar;
  char next = line[rule.name.size()];
  return next == ' ' || next == '\t' ? Fit::kWhole : Fit::kNo;
}

const VerbRule* find_verb(std::string_view line, Fit at_least) {
  for (const auto& rule : kVerbs) {
    if (fit(line, rule) >= at_least) return &rule;
  }
  return nullptr;
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

constexpr std::size_t kArgsMax = 5;  // one more than any verb takes, so that too many are seen

struct Args {
  std::string_view at[kArgsMax];
  std::size_t count = 0;
};

Args split(std::string_view s) {
  Args args;
  const char *p = s.data(), *end = p + s.size();
  while (args.count < kArgsMax) {
    while (p != end && blank(*p)) ++p;
    if (p == end) break;
    const char* start = p;
    while (p != end && !blank(*p)) ++p;
    args.at[args.count++] = {start, static_cast<std::size_t>(p - start)};
  }
  return args;
}

/// Decimal size; -1 when it is none.
std::int64_t parse_size(std::string_view s) {
  if (s.empty() || s.size() > kSizeDigitsMax) return -1;
  std::int64_t v = 0;
  for (char c : s) {
    if (c < '0' || c > '9') return -1;
    v = v * 10 + (c - '0');
  }
  return v;
}

/// True when the arguments of `line` (no CRLF) are longer than `max`.
bool too_long(std::string_view line, const VerbRule& rule, std::size_t max) {
  return line.size() > rule.name.size() + 1 && line.size() - rule.name.size() - 1 > max;
}

std::string_view without_cr(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

}  // namespace

std::string_view error_text(ParseError error) {
  switch (error) {
    case ParseError::kNone: return "";
    case ParseError::kUnknownOperation: return "Unknown Protocol Operation";
    case ParseError::kControlLine: return "maximum control line exceeded";
    case ParseError::kMaxPayload: return "Maximum Payload Violation";
    case ParseError::kSyntax: return "Parser Error";
  }
  return "";
}

ClientParser::Fed ClientParser::feed(ByteSpan input, ClientEvents& events) {
  Fed fed;
  const char* begin = reinterpret_cast<const char*>(input.data());
  const char *p = begin, *end = begin + input.size();
  while (error_ == ParseError::kNone && p != end) {
    Step step = in_body_ ? take_body(p, end, events) : take_line(p, end, events);
    if (step == Step::kGoOn) continue;
    fed.stopped = step == Step::kStop;
    break;
  }
  if (in_body_ && error_ == ParseError::kNone) keep_args();
  fed.error = error_;
  fed.consumed = static_cast<std::size_t>(p - begin);
  return fed;
}

ClientParser::Step ClientParser::fail(ParseError error, std::string_view detail) {
  error_ = error;
  detail_ = detail;
  in_body_ = false;
  std::string().swap(line_);
  body_ = BytesBuilder();
  return Step::kFail;
}

ClientParser::Step ClientParser::take_line(const char*& p, const char* end, ClientEvents& events) {
  // No line that is allowed has its LF farther than this: verb, blank, arguments, CR, LF.
  const std::size_t cap = limits_.max_control_line + kVerbMax + 3;
  const std::size_t room = cap > line_.size() ? cap - line_.size() : 0;
  const std::size_t n = std::min(room, static_cast<std::size_t>(end - p));
  const auto* lf = n ? static_cast<const char*>(std::memchr(p, '\n', n)) : nullptr;
  if (!lf) return keep_partial(p, p + n);
  std::string_view tail(p, static_cast<std::size_t>(lf - p));
  p = lf + 1;
  if (line_.empty()) return on_line(without_cr(tail), events);
  line_.append(tail);
  args_kept_ = true;
  Step step = on_line(without_cr(line_), events);
  if (!in_body_) forget_line();
  return step;
}

/// Keeps what there is of a line, unless it is already clear that it must be refused. The checks are
/// those of on_line() in the same order, so that the split of the input does not change the error.
ClientParser::Step ClientParser::keep_partial(const char*& p, const char* end) {
  line_.append(p, static_cast<std::size_t>(end - p));
  p = end;
  const VerbRule* rule = find_verb(line_, Fit::kSoFar);
  if (!rule) return fail(ParseError::kUnknownOperation, "no verb of the protocol");
  const std::size_t cap = limits_.max_control_line + kVerbMax + 3;
  if (line_.size() >= cap || too_long(without_cr(line_), *rule, limits_.max_control_line)) {
    return fail(ParseError::kControlLine, "control line too long");
  }
  return Step::kGoOn;
}

ClientParser::Step ClientParser::on_line(std::string_view line, ClientEvents& events) {
  const VerbRule* rule = find_verb(line, Fit::kWhole);
  if (!rule) return fail(ParseError::kUnknownOperation, "no verb of the protocol");
  if (too_long(line, *rule, limits_.max_control_line)) {
    return fail(ParseError::kControlLine, "control line too long");
  }
  std::string_view args = line.substr(rule->name.size());
  bool go_on = true;
  switch (rule->verb) {
    case Verb::kPub: return begin_publish(args, false);
    case Verb::kHpub: return begin_publish(args, true);
    case Verb::kSub: return on_subscribe(args, events);
    case Verb::kUnsub: return on_unsubscribe(args, events);
    case Verb::kPing: go_on = events.on_ping(); break;
    case Verb::kPong: go_on = events.on_pong(); break;
    case Verb::kConnect: go_on = events.on_connect(trim(args)); break;
    case Verb::kInfo: go_on = events.on_info(trim(args)); break;
    case Verb::kOk: go_on = events.on_ok(); break;
    case Verb::kErr: go_on = events.on_err(trim(args)); break;
  }
  return go_on ? Step::kGoOn : Step::kStop;
}

ClientParser::Step ClientParser::on_subscribe(std::string_view text, ClientEvents& events) {
  Args args = split(text);
  if (args.count != 2 && args.count != 3) return fail(ParseError::kSyntax, "SUB takes subject [queue] sid");
  bool queue = args.count == 3;
  bool go_on =
      events.on_subscribe(args.at[0], queue ? args.at[1] : std::string_view(), args.at[queue ? 2 : 1]);
  return go_on ? Step::kGoOn : Step::kStop;
}

ClientParser::Step ClientParser::on_unsubscribe(std::string_view text, ClientEvents& events) {
  Args args = split(text);
  if (args.count != 1 && args.count != 2) return fail(ParseError::kSyntax, "UNSUB takes sid [max]");
  std::int64_t max = args.count == 2 ? std::max<std::int64_t>(parse_size(args.at[1]), 0) : 0;
  return events.on_unsubscribe(args.at[0], static_cast<std::uint64_t>(max)) ? Step::kGoOn : Step::kStop;
}

ClientParser::Step ClientParser::begin_publish(std::string_view text, bool with_headers) {
  Args args = split(text);
  const std::size_t sizes = with_headers ? 2 : 1;
  if (args.count != 1 + sizes && args.count != 2 + sizes) {
    return fail(ParseError::kSyntax, with_headers ? "HPUB takes subject [reply] header_size total_size"
                                                  : "PUB takes subject [reply] size");
  }
  std::int64_t total = parse_size(args.at[args.count - 1]);
  std::int64_t header = with_headers ? parse_size(args.at[args.count - 2]) : 0;
  if (total < 0 || header < 0) return fail(ParseError::kSyntax, "bad or missing size");
  if (header > total) return fail(ParseError::kSyntax, "header size larger than total size");
  if (static_cast<std::uint64_t>(total) > limits_.max_payload) {
    return fail(ParseError::kMaxPayload, "body larger than max_payload");
  }
  subject_ = args.at[0];
  reply_ = args.count == 2 + sizes ? args.at[1] : std::string_view();
  header_bytes_ = static_cast<std::size_t>(header);
  body_bytes_ = static_cast<std::size_t>(total);
  with_headers_ = with_headers;
  in_body_ = true;
  return Step::kGoOn;
}

ClientParser::Step ClientParser::take_body(const char*& p, const char* end, ClientEvents& events) {
  if (!body_.empty() || static_cast<std::size_t>(end - p) < body_bytes_ + 2)
    return gather_body(p, end, events);
  const char* body = p;
  p += body_bytes_ + 2;
  return deliver(body, nullptr, events);
}

ClientParser::Step ClientParser::gather_body(const char*& p, const char* end, ClientEvents& events) {
  const std::size_t whole = body_bytes_ + 2;
  body_.reserve(whole);
  std::size_t n = std::min(whole - body_.size(), static_cast<std::size_t>(end - p));
  body_.append(std::string_view(p, n));
  p += n;
  if (body_.size() < whole) return Step::kGoOn;
  Bytes block = body_.freeze();
  Bytes held = block.sub(0, body_bytes_);
  return deliver(reinterpret_cast<const char*>(block.data()), &held, events);
}

ClientParser::Step ClientParser::deliver(const char* body, const Bytes* held, ClientEvents& events) {
  if (body[body_bytes_] != '\r' || body[body_bytes_ + 1] != '\n') {
    return fail(ParseError::kUnknownOperation, "no CRLF after the body");
  }
  PublishView view;
  view.subject = subject_;
  view.reply = reply_;
  view.body = {body, body_bytes_};
  view.headers = {body, header_bytes_};
  view.payload = {body + header_bytes_, body_bytes_ - header_bytes_};
  view.with_headers = with_headers_;
  view.held = held;
  if (header_bytes_ && !view.headers.starts_with("NATS/1.0")) {
    return fail(ParseError::kSyntax, "header block does not start with NATS/1.0");
  }
  in_body_ = false;
  bool go_on = events.on_publish(view);
  if (args_kept_) forget_line();
  return go_on ? Step::kGoOn : Step::kStop;
}

/// Moves subject and reply out of the input, which goes away, into line_.
void ClientParser::keep_args() {
  if (args_kept_) return;
  line_.reserve(subject_.size() + reply_.size());
  line_.assign(subject_);
  line_.append(reply_);
  subject_ = std::string_view(line_).substr(0, subject_.size());
  reply_ = std::string_view(line_).substr(subject_.size());
  args_kept_ = true;
}

void ClientParser::forget_line() {
  args_kept_ = false;
  line_.clear();
  if (line_.capacity() > kKeepLineBytes) std::string().swap(line_);
}

}  // namespace weir::proto
