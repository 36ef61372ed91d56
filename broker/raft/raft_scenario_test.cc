// Scenario texts of tests/scenario/raft. WEIR_REWRITE=1 records what they show now; review the diff.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "broker/raft/testing/scenario.h"

namespace weir::raft::testing {
namespace {

const char* const kTypes[] = {"?",          "PreVote",    "PreVoteResp",   "Vote",          "VoteResp",
                              "Append",     "AppendResp", "Heartbeat",     "HeartbeatResp", "Snapshot",
                              "TimeoutNow", "ReadIndex",  "ReadIndexResp", "Fetch",         "FetchResp",
                              "Head",       "HeadResp"};
const char* const kRoles[] = {"follower", "pre-candidate", "candidate", "leader"};
const char* const kAnswers[] = {"have", "never", "faulty", "compacted"};
const char* const kProgress[] = {"probe", "replicate", "snapshot"};

std::string text(std::uint64_t v) {
  return std::to_string(v);
}

std::string show_id(RaftIndex index, Term term) {
  return text(index.v) + "/" + text(term.v);
}

std::string show_entry(const Entry& e) {
  std::string s = show_id(e.index, e.term);
  if (e.type == EntryType::kNoop) return s + " noop";
  if (e.type == EntryType::kConfig) return s + " " + show(*decode_conf(e.payload.span()));
  return s + " " + std::string(e.payload.text());
}

std::string show_list(const char* name, const std::vector<NodeId>& list) {
  std::string s;
  for (NodeId n : list) s += (s.empty() ? std::string(name) + "=" : ",") + text(n.v);
  return s.empty() ? s : " " + s;
}

std::uint64_t number(const std::string& s) {
  return std::strtoull(s.c_str(), nullptr, 10);
}

std::vector<std::uint64_t> numbers(const std::string& s) {
  std::vector<std::uint64_t> out;
  std::stringstream in(s);
  for (std::string part; std::getline(in, part, ',');) out.push_back(number(part));
  return out;
}

/// Value of "key=value" among the words, or `otherwise`.
std::string value_of(const std::vector<std::string>& words, const std::string& key, std::string otherwise) {
  for (const std::string& w : words) {
    if (w.rfind(key + "=", 0) == 0) return w.substr(key.size() + 1);
  }
  return otherwise;
}

bool has(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

std::string show(const ConfState& conf) {
  return "conf{" +
         (show_list("voters", conf.voters) + show_list("outgoing", conf.outgoing) +
          show_list("learners", conf.learners) + show_list("learners_next", conf.learners_next) +
          (conf.auto_leave ? " auto" : ""))
             .substr(1) +
         "}";
}

std::string show(const Message& m) {
  std::string s = text(m.from.v) + "->" + text(m.to.v) + " " + kTypes[static_cast<std::size_t>(m.type)] +
                  " term " + text(m.term.v);
  bool names_entry = m.type == MessageType::kPreVote || m.type == MessageType::kVote ||
                     m.type == MessageType::kFetch || m.type == MessageType::kFetchResp ||
                     m.type == MessageType::kAppend || m.asleep;
  if (names_entry && (m.index.v != 0 || !m.asleep)) {
    s += (m.type == MessageType::kAppend ? " after " : " ") + show_id(m.index, m.log_term);
  } else if (m.index.v != 0) {
    s += " index " + text(m.index.v);
  }
  if (m.commit.v != 0) s += " commit " + text(m.commit.v);
  if (m.context != 0) s += " context " + text(m.context);
  if (m.reject) s += " reject";
  if (m.reject && m.type == MessageType::kAppendResp) s += " hint " + show_id(m.hint.index, m.hint.term);
  if (m.force) s += " force";
  if (m.asleep) s += " asleep";
  if (m.type == MessageType::kFetchResp) s += std::string(" ") + kAnswers[static_cast<std::size_t>(m.answer)];
  if (m.snapshot) s += " at " + show_id(m.snapshot->index, m.snapshot->term) + " " + show(m.snapshot->conf);
  std::string entries;
  for (const Entry& e : m.entries) entries += (entries.empty() ? "" : ", ") + show_entry(e);
  return entries.empty() ? s : s + " [" + entries + "]";
}

bool Scenario::Filter::matches(const Message& m) const {
  return (from == NodeId{0} || from == m.from) && (to == NodeId{0} || to == m.to) &&
         (type.empty() || type == kTypes[static_cast<std::size_t>(m.type)]);
}

TestNode& Scenario::node(const std::string& name) {
  auto it = nodes_.find(NodeId{number(name)});
  CHECK(it != nodes_.end(), "scenario names a node that does not exist");
  return it->second;
}

std::vector<NodeId> Scenario::nodes_of(const Words& words) const {
  std::vector<NodeId> out;
  for (const std::string& w : words) {
    if (nodes_.count(NodeId{number(w)}) > 0) out.push_back(NodeId{number(w)});
  }
  if (!out.empty()) return out;
  for (auto& [id, n] : nodes_) out.push_back(id);
  return out;
}

std::string Scenario::run(const std::string& line) {
  out_.str("");
  std::stringstream in(line);
  Words words;
  for (std::string w; in >> w;) words.push_back(w);
  bool quiet = !words.empty() && words[0] == "quiet";
  if (quiet) words.erase(words.begin());
  if (words.empty()) return "error: no command\n";
  std::string verb = words[0];
  words.erase(words.begin());
  if (!setup(verb, words) && !drive(verb, words) && !network(verb, words) && !inspect(verb, words)) {
    return "error: no command " + verb + "\n";
  }
  for (auto& [id, n] : nodes_) {
    if (!n.trouble.empty()) out_ << "BROKEN " << id.v << ": " << n.trouble << "\n";
  }
  return quiet ? "" : out_.str();
}

bool Scenario::setup(const std::string& verb, const Words& words) {
  if (verb == "cluster") {
    for (auto v : numbers(words.at(0))) conf_.voters.push_back(NodeId{v});
    for (auto v : numbers(value_of(words, "learners", ""))) conf_.learners.push_back(NodeId{v});
    config_.election_ticks = static_cast<unsigned>(number(value_of(words, "election", "10")));
    config_.lease_ticks = static_cast<unsigned>(number(value_of(words, "lease", "7")));
    config_.hibernate_ticks = static_cast<unsigned>(number(value_of(words, "hibernate", "0")));
    config_.append_bytes_max = number(value_of(words, "append_bytes", "100000"));
    config_.in_flight_count_max = number(value_of(words, "in_flight", "16"));
    config_.uncommitted_bytes_max = number(value_of(words, "uncommitted", "100000"));
    config_.memory_bytes_max = number(value_of(words, "memory", "100000"));
    if (auto order = value_of(words, "order", ""); !order.empty()) config_.order = number(order);
    std::vector<NodeId> all = members_of(conf_);
    for (auto v : numbers(value_of(words, "others", ""))) all.push_back(NodeId{v});
    for (NodeId id : all) {
      Config c = config_;
      c.id = id;
      Disk disk;
      if (is_member(conf_, id)) {
        disk.checkpoint.conf = conf_;
        disk.base = disk.checkpoint.at = kNewGroup;
      }
      nodes_.emplace(id, TestNode(c, std::move(disk)));
    }
  } else if (verb == "disk") {
    make_log(words);
  } else if (verb == "start" || verb == "restart") {
    start(words);
  } else if (verb == "crash") {
    TestNode& n = node(words.at(0));
    n.crash(static_cast<std::size_t>(number(value_of(words, "written", "0"))));
    soft_.erase(n.id());
  } else {
    return false;
  }
  return true;
}

// disk NODE terms=1,1,4 term=T vote=V commit=C applied=A faulty=I config_faulty=I cut=N head_unknown
void Scenario::make_log(const Words& words) {
  TestNode& n = node(words.at(0));
  Disk& d = n.disk();
  for (auto term : numbers(value_of(words, "terms", ""))) {
    RaftIndex index{d.base.index.v + d.log.size() + 1};
    std::string payload = "t" + text(term) + "i" + text(index.v);
    d.log[index] = Entry{index, Term{term}, EntryType::kNormal, Bytes::copy_of(payload)};
    d.hard.term = std::max(d.hard.term, Term{term});
  }
  for (auto i = number(value_of(words, "cut", "0")); i > 0; --i) d.log.erase(std::prev(d.log.end()));
  d.hard.term = Term{number(value_of(words, "term", text(d.hard.term.v)))};
  d.hard.vote = NodeId{number(value_of(words, "vote", text(d.hard.vote.v)))};
  d.hard.commit = RaftIndex{number(value_of(words, "commit", text(d.hard.commit.v)))};
  for (auto i : numbers(value_of(words, "faulty", ""))) d.faulty[RaftIndex{i}] = false;
  for (auto i : numbers(value_of(words, "config_faulty", ""))) d.faulty[RaftIndex{i}] = true;
  if (has(words, "head_unknown")) d.head_unknown = true;
}

void Scenario::start(const Words& words) {
  for (NodeId id : nodes_of(words)) {
    TestNode& n = nodes_.at(id);
    if (n.up()) continue;
    n.start(id.v * 1000 + 7);
    gather(n);
  }
}

void Scenario::gather(TestNode& n) {
  if (!n.up()) return;
  n.pump();
  while (!n.writes().empty() && hold_writes_.count(n.id()) == 0) {
    n.finish_write();
    n.pump();
  }
  for (Message& m : n.out) flight_.push_back(std::move(m));
  n.out.clear();
  std::string who = "  " + text(n.id().v) + " ";
  View v = n.core().view();
  SoftState now{v.role, v.leader, v.term, v.asleep, v.head_unknown, v.faults, nullptr};
  SoftState& before = soft_[n.id()];
  if (!(now == before)) {
    out_ << who << kRoles[static_cast<std::size_t>(now.role)] << " term " << now.term.v << " leader "
         << now.leader.v;
    if (now.asleep) out_ << " asleep";
    if (now.head_unknown) out_ << " head-unknown";
    if (now.faults > 0) out_ << " faults " << now.faults;
    out_ << "\n";
    before = now;
  }
  for (const Entry& e : n.applied) out_ << who << "applies " << show_entry(e) << "\n";
  n.applied.clear();
  for (const ReadState& r : n.reads) {
    out_ << who << "read " << r.context << (r.ok ? " at " + text(r.index.v) : std::string(" refused"))
         << "\n";
  }
  n.reads.clear();
  if (n.install)
    out_ << who << "wants the state at " << n.install->meta.index.v << " of " << n.install->from.v << "\n";
  for (const LoadRequest& l : n.loads) {
    out_ << who << "wants to load " << l.from.v << ".." << l.upto.v << " for " << l.peer.v
         << (l.repair ? " (repair)" : "") << "\n";
  }
}

bool Scenario::drive(const std::string& verb, const Words& words) {
  static const std::set<std::string> kVerbs = {"tick", "campaign", "propose", "conf",  "transfer",
                                               "read", "compact",  "install", "load",  "alive",
                                               "hold", "write",    "apply",   "lease", "lose-install"};
  if (kVerbs.count(verb) == 0) return false;
  TestNode& n = node(words.at(0));
  if (!n.up()) {
    out_ << "  " << words[0] << " is down\n";
    return true;
  }
  if (verb == "tick") {
    for (auto i = words.size() > 1 ? number(words[1]) : 1; i > 0; --i) {
      n.core().tick();
      gather(n);
    }
  } else if (verb == "campaign") {
    n.core().campaign();
  } else if (verb == "propose") {
    std::vector<Bytes> payloads;
    for (std::size_t i = 1; i < words.size(); ++i) payloads.push_back(Bytes::copy_of(words[i]));
    shown(n.core().propose(payloads));
  } else if (verb == "conf") {
    change(n, words);
  } else if (verb == "transfer") {
    if (!n.core().transfer_leadership(NodeId{number(words.at(1))})) out_ << "  refused\n";
  } else if (verb == "read") {
    if (!n.core().read_index(number(words.at(1)))) out_ << "  refused\n";
  } else if (verb == "lease") {
    out_ << (n.core().lease_valid() ? "  valid\n" : "  not valid\n");
  } else if (verb == "compact") {
    n.checkpoint(n.state().at.index.v);
    n.compact(RaftIndex{number(words.at(1))});
  } else if (verb == "install" || verb == "lose-install" || verb == "load") {
    install(n, words.size() > 1 ? Words{verb, words[1]} : Words{verb});
  } else if (verb == "alive") {
    bool alive = !has(words, "no");
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (number(words[i]) != 0) n.core().set_peer_alive(NodeId{number(words[i])}, alive);
    }
  } else if (verb == "hold") {
    hold_writes_.insert(n.id());
  } else if (verb == "write") {
    hold_writes_.erase(n.id());
  }
  gather(n);
  return true;
}

void Scenario::install(TestNode& n, const Words& words) {
  if (words[0] == "load") {
    std::vector<LoadRequest> loads = std::exchange(n.loads, {});
    bool gone = has(words, "nothing");
    for (const LoadRequest& l : loads)
      n.core().entries_loaded(l, gone ? std::vector<Entry>() : n.read(l.from, l.upto));
    return;
  }
  if (!n.install) return;
  if (words[0] == "install") {
    n.installed(nodes_.at(n.install->from).state());
  } else {
    n.install.reset();
    n.core().snapshot_failed();
  }
}

void Scenario::shown(const Proposed& p) {
  static const char* const kOutcomes[] = {"appended", "not the leader", "too much", "transferring",
                                          "refused"};
  if (p.outcome == ProposeOutcome::kAppended) return;
  out_ << "  " << kOutcomes[static_cast<std::size_t>(p.outcome)];
  if (p.outcome == ProposeOutcome::kRefused) out_ << ": " << p.why;
  out_ << "\n";
}

void Scenario::change(TestNode& n, const Words& words) {
  ConfChange c;
  for (auto v : numbers(value_of(words, "add", ""))) c.steps.push_back({ConfOp::kAddVoter, NodeId{v}});
  for (auto v : numbers(value_of(words, "learn", ""))) c.steps.push_back({ConfOp::kAddLearner, NodeId{v}});
  for (auto v : numbers(value_of(words, "remove", ""))) c.steps.push_back({ConfOp::kRemove, NodeId{v}});
  c.stay_joint = has(words, "stay");
  shown(n.core().propose_conf_change(c));
}

Scenario::Filter Scenario::filter_of(const Words& words) const {
  Filter f;
  for (const std::string& w : words) {
    auto arrow = w.find("->");
    if (arrow != std::string::npos) {
      f.from = NodeId{number(w.substr(0, arrow))};
      f.to = NodeId{number(w.substr(arrow + 2))};
    } else if (std::find(std::begin(kTypes), std::end(kTypes), w) != std::end(kTypes)) {
      f.type = w;
    }
  }
  return f;
}

void Scenario::step(std::size_t at) {
  Message m = std::move(flight_[at]);
  flight_.erase(flight_.begin() + static_cast<std::ptrdiff_t>(at));
  auto it = nodes_.find(m.to);
  bool lost = it == nodes_.end() || !it->second.up() || !linked(m.from, m.to);
  out_ << show(m) << (lost ? " (lost)" : "") << "\n";
  if (lost) return;
  it->second.core().step(m.from, m);
  gather(it->second);
}

std::size_t Scenario::deliver(const Filter& filter, bool drop, std::size_t count) {
  std::size_t done = 0, waiting = flight_.size();
  for (std::size_t i = 0; i < waiting && done < count;) {
    if (!filter.matches(flight_[i])) {
      ++i;
      continue;
    }
    ++done;
    --waiting;
    if (drop) {
      out_ << show(flight_[i]) << " (dropped)\n";
      flight_.erase(flight_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      step(i);
    }
  }
  return done;
}

void Scenario::stabilize(const Words& words) {
  std::vector<NodeId> among = nodes_of(words);
  auto in = [&](NodeId id) { return std::find(among.begin(), among.end(), id) != among.end(); };
  for (unsigned rounds = 0; rounds < 5000; ++rounds) {
    auto it = std::find_if(flight_.begin(), flight_.end(),
                           [&](const Message& m) { return in(m.from) && in(m.to); });
    if (it == flight_.end()) return;
    step(static_cast<std::size_t>(it - flight_.begin()));
  }
  out_ << "error: does not come to rest\n";
}

bool Scenario::network(const std::string& verb, const Words& words) {
  if (verb == "deliver" || verb == "drop") {
    std::string count = value_of(words, "count", "100000");
    deliver(filter_of(words), verb == "drop", static_cast<std::size_t>(number(count)));
  } else if (verb == "repeat") {  // the network duplicates what it has
    Filter f = filter_of(words);
    for (std::size_t i = 0, n = flight_.size(); i < n; ++i) {
      if (f.matches(flight_[i])) flight_.push_back(flight_[i]);
    }
  } else if (verb == "stabilize") {
    stabilize(words);
  } else if (verb == "cut") {  // cut A B: both ways; cut A->B: one way
    for (const std::string& w : words) {
      Filter f = filter_of({w});
      cut_.insert({f.from, f.to});
      if (!has(words, "oneway")) cut_.insert({f.to, f.from});
    }
  } else if (verb == "isolate") {
    for (auto& [id, n] : nodes_)
      cut_.insert({id, NodeId{number(words.at(0))}}), cut_.insert({NodeId{number(words.at(0))}, id});
  } else if (verb == "heal") {
    cut_.clear();
  } else {
    return false;
  }
  return true;
}

bool Scenario::inspect(const std::string& verb, const Words& words) {
  if (verb == "status") {
    show_status(words);
  } else if (verb == "logs") {
    show_logs(words);
  } else if (verb == "flight") {
    for (const Message& m : flight_) out_ << show(m) << "\n";
  } else if (verb == "progress") {
    show_progress(node(words.at(0)));
  } else {
    return false;
  }
  return true;
}

void Scenario::show_progress(TestNode& n) {
  for (const PeerView& p : n.core().peers()) {
    out_ << "  " << p.id.v << (p.voter ? " voter " : " learner ") << kProgress[p.state] << " match "
         << p.match.v << " next " << p.next.v << (p.active ? "" : " silent") << "\n";
  }
}

void Scenario::show_status(const Words& words) {
  for (NodeId id : nodes_of(words)) {
    TestNode& n = nodes_.at(id);
    out_ << "  " << id.v << ": ";
    if (!n.up()) {
      out_ << "down\n";
      continue;
    }
    View v = n.core().view();
    out_ << kRoles[static_cast<std::size_t>(v.role)] << " term " << v.term.v << " vote " << v.vote.v
         << " log (" << v.base.index.v << ".." << show_id(v.last.index, v.last.term) << "] durable "
         << v.stable.v << " commit " << v.commit.v << " applied " << v.applied.v
         << (v.faults > 0 ? " faults " + text(v.faults) : std::string()) << " "
         << (n.core().conf().voters.empty() ? "no conf" : show(n.core().conf())) << "\n";
  }
}

void Scenario::show_logs(const Words& words) {
  for (NodeId id : nodes_of(words)) {
    TestNode& n = nodes_.at(id);
    out_ << "  " << id.v << ":";
    if (!n.up()) {
      out_ << " down\n";
      continue;
    }
    const Log& log = n.core().log();
    for (RaftIndex i = log.first(); i <= log.last(); ++i) {
      out_ << (i == log.commit() + 1 ? " |" : "") << " " << log.term_at(i)->v;
    }
    out_ << "\n";
  }
}

namespace {

const std::filesystem::path kFolder =
    std::filesystem::path(__FILE__).parent_path() / ".." / ".." / "tests" / "scenario" / "raft";

// A text is comments, blank lines and commands "> command"; what follows a command is what it shows.
std::string replay(const std::string& text_in) {
  Scenario scenario;
  std::stringstream in(text_in);
  std::string out;
  bool shown = false;  // lines that are a command's output are left out and made anew
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("> ", 0) == 0) {
      out += line + "\n" + scenario.run(line.substr(2));
      shown = true;
    } else if (line.empty() || line[0] == '#') {
      out += line + "\n";
      shown = false;
    } else if (!shown) {
      out += line + "\n";
    }
  }
  return out;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(RaftScenario, Texts) {
  std::vector<std::filesystem::path> paths;
  for (auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  EXPECT_GE(paths.size(), 20u);
  for (auto& path : paths) {
    SCOPED_TRACE(path.filename().string());
    std::string expected = read_file(path), now = replay(expected);
    EXPECT_EQ(now.find("BROKEN"), std::string::npos);
    EXPECT_EQ(now.find("error"), std::string::npos);
    if (std::getenv("WEIR_REWRITE") != nullptr) {
      std::ofstream(path) << now;
    } else {
      EXPECT_EQ(now, expected);
    }
  }
}

TEST(RaftScenario, RefusesWhatItDoesNotKnow) {
  Scenario s;
  EXPECT_EQ(s.run("dance 1"), "error: no command dance\n");
  EXPECT_EQ(s.run(""), "error: no command\n");
}

}  // namespace
}  // namespace weir::raft::testing
