// broker/jetstream/outcome.h - what applying one command did: the leader answers and delivers from it.
//
// Room:    pure data, filled by StreamMachine::apply. Followers ignore it.
// Life:    reused by the caller from command to command; apply() clears it first.
// Errors:  `error` is an expected outcome for the client. Operating errors are apply()'s Status.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/api/error.h"
#include "broker/base/ids.h"
#include "broker/jetstream/command.h"

namespace weir::jetstream {

/// What became of a consumer.
enum class ConsumerChange : std::uint8_t { kNone, kCreated, kUpdated, kExisting, kDeleted };

/// A message that left the stream while somebody could still have wanted it.
struct RemovedMessage {
  StreamSeq seq;
  std::string subject;
};

struct Outcome {
  CommandType type = CommandType::kTick;
  api::ApiError error;  // err_code kNone: success

  // Publish.
  StreamSeq seq;           // of the message, or of the first one when `duplicate`; 0 on an error
  bool duplicate = false;  // stored before, within the window
  bool stored = false;     // the message is in the store: wake deliveries. False for duplicates,
                           // errors, and streams with interest retention where nobody listens
  StreamSeq previous;      // of the same subject before this one, 0 = none; with republish only

  // Purge, delete.
  std::uint64_t removed_count = 0;  // by this command's own doing: what the reply reports

  // Consumers.
  std::uint32_t consumer_id = 0;
  std::string consumer_name;
  ConsumerChange consumer_change = ConsumerChange::kNone;

  // Stream configuration.
  bool config_changed = false;

  // Removals of any cause, for counters of pending messages: those at or above the watch line of
  // StreamMachine::watch_removals. `removed_many`: too many to list, count again.
  std::vector<RemovedMessage> removed;
  bool removed_many = false;

  bool ok() const { return error.err_code == api::ErrCode::kNone; }
  void clear(CommandType t) {
    if (!ok()) error = {};
    type = t;
    seq = previous = StreamSeq();
    duplicate = stored = removed_many = config_changed = false;
    removed_count = 0;
    consumer_id = 0;
    consumer_name.clear();
    consumer_change = ConsumerChange::kNone;
    removed.clear();
  }
};

}  // namespace weir::jetstream
