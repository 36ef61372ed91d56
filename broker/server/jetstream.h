// broker/server/jetstream.h - the JetStream of this shard: journal, catalog, meta group, streams.
//
// Room:     shell. Thread: the shard. Owner: Node.
// Recovery: catalog, meta checkpoint, streams' checkpoints, then the journal in order; the same path
//           after a clean stop and after kill -9.
// Promise:  nothing is deleted because it looks orphaned: groups in the catalog that the meta group
//           does not know are kept and reported.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/cluster/meta_group.h"
#include "broker/server/advisories.h"
#include "broker/server/js_context.h"
#include "broker/server/stream_host.h"
#include "broker/store/block_cache.h"

namespace weir::server {

class JetStream final {
 public:
  using FindAccount = std::function<Account*(std::string_view name)>;
  using StreamDone = UniqueFunction<void(const api::ApiError&, StreamHost*, bool created)>;

  JetStream(env::Env& env, const config::Options& options, const Tuning& tuning, Router& router,
            Advisories& advisories, FindAccount find_account);
  ~JetStream();

  /// Inline recovery. Errors: text for "Can't start JetStream: ...".
  Status start(std::string server_name);
  /// End of turn: consumers, stream batches, meta batch, journal. True if work was left for later.
  void end_of_turn();
  /// Completes when everything proposed is durable.
  void drain(UniqueFunction<void()> done);
  /// Tells waiting clients that the server goes.
  void shutting_down();
  /// The journal failed for good.
  bool failed() const { return journal_ && journal_->failed(); }

  // Asked by API handlers; `config` is checked and complete.
  void create_stream(Account& account, const api::StreamConfig& config, StreamDone done);
  void update_stream(Account& account, const api::StreamConfig& config, StreamDone done);
  void delete_stream(Account& account, std::string_view name, StreamDone done);

  StreamHost* find(const Account& account, std::string_view name);
  /// Why a stream that exists has no host; nullopt if it has one or does not exist.
  std::optional<std::string> offline_reason(std::string_view account, std::string_view name) const;
  /// Streams without a host: "account", "name", why.
  struct Offline {
    std::string account, name, why;
  };
  std::vector<Offline> offline_streams() const;
  /// What recovery read is durable: it may be shown and acted on.
  bool ready() const { return ready_; }
  /// By name, of one account.
  std::vector<StreamHost*> streams(const Account& account) const;
  std::vector<StreamHost*> all_streams() const;

  struct Usage {
    std::uint64_t memory = 0, storage = 0, reserved_memory = 0, reserved_storage = 0;
    std::size_t streams = 0, consumers = 0;
  };
  Usage usage(const Account* account) const;  // null = all
  JsContext& context() { return js_; }
  const JsContext& context() const { return js_; }
  const store::JournalStats* journal_stats() const { return journal_ ? &journal_->stats() : nullptr; }
  const cluster::MetaGroup& meta() const { return *meta_; }
  /// "<store_dir>/jetstream".
  const std::string& directory() const { return directory_; }

  struct ApiCounters {
    std::uint64_t total = 0, errors = 0;
  };
  ApiCounters api;

 private:
  struct ByName {
    using is_transparent = void;
    using View = std::pair<std::string_view, std::string_view>;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return View(a) < View(b);
    }
  };
  void stream_changed(const jetstream::MetaOutcome& change, bool live);
  void open_stream(const jetstream::MetaStream& stream, bool live);
  void close_stream(const jetstream::MetaStream& stream);
  void propose_config(StreamHost& host, const jetstream::MetaStream& s);
  void log_offline(const jetstream::MetaStream& stream) const;
  Result<NodeId> own_id();
  StreamIdentity identity_of(const jetstream::MetaStream& stream) const;
  Status recover_journal();
  void damaged(const store::JournalFault& fault);
  void replay(const store::JournalRecord& record);
  void report_quarantine() const;
  void void_strangers();
  void watch_disk();
  void checkpoint_under_pressure();

  env::Env& env_;
  const config::Options& options_;
  FindAccount find_account_;
  Turn turn_;
  JsContext js_;
  std::unique_ptr<store::BlockCache> cache_;
  std::unique_ptr<store::Catalog> catalog_;
  std::unique_ptr<store::Journal> journal_;
  std::unique_ptr<replica::Host> host_;
  std::unique_ptr<cluster::MetaGroup> meta_;
  std::map<GroupId, std::unique_ptr<StreamHost>> streams_;
  std::map<std::pair<std::string, std::string>, StreamHost*, ByName> by_name_;
  std::map<GroupId, std::string> offline_;                      // could not be opened, and why
  std::vector<std::pair<GroupId, api::StreamConfig>> updates_;  // from the meta group, while starting
  std::string directory_;
  std::map<std::string, Account> unconfigured_;  // accounts of streams that the configuration lacks
  std::set<GroupId> strangers_;                  // in the journal, not hosted here
  bool recovering_ = true;
  bool ready_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  env::TimerId disk_timer_ = 0;
};

}  // namespace weir::server
