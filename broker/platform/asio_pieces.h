// broker/platform/asio_pieces.h - the only includes of asio. Internal to platform/.
//
// asio decides by macros of the standard library whether to pair aligned_alloc with free or new with
// delete. A file that included asio before any standard header got the other pair than its neighbours,
// and memory of one was given back by the other (found by ASan). Hence <cstdlib> comes first, here.
#pragma once

#include <cstdlib>

#include <asio/buffer.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
