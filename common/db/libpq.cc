#include "common/db/libpq.h"

#include <dlfcn.h>

#include "common/base/strings.h"

namespace metamcp::db {
namespace {

absl::StatusOr<Libpq> Load() {
  // Its ABI has had this name since PostgreSQL 8.
  void* library = ::dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    return absl::UnavailableError(
        StrCat("PostgreSQL's client library cannot be loaded (package libpq5): ", why));
  }
  Libpq pq{};
  std::string missing;
  const auto find = [library, &missing](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
    if (function == nullptr) missing = name;
  };
  find(pq.connectdb, "PQconnectdb");
  find(pq.finish, "PQfinish");
  find(pq.status, "PQstatus");
  find(pq.error_message, "PQerrorMessage");
  find(pq.set_error_verbosity, "PQsetErrorVerbosity");
  find(pq.set_notice_processor, "PQsetNoticeProcessor");
  find(pq.exec, "PQexec");
  find(pq.prepare, "PQprepare");
  find(pq.exec_prepared, "PQexecPrepared");
  find(pq.result_status, "PQresultStatus");
  find(pq.result_error_message, "PQresultErrorMessage");
  find(pq.result_error_field, "PQresultErrorField");
  find(pq.clear, "PQclear");
  find(pq.cmd_tuples, "PQcmdTuples");
  find(pq.ntuples, "PQntuples");
  find(pq.nfields, "PQnfields");
  find(pq.fname, "PQfname");
  find(pq.ftype, "PQftype");
  find(pq.getisnull, "PQgetisnull");
  find(pq.getvalue, "PQgetvalue");
  find(pq.getlength, "PQgetlength");
  find(pq.get_cancel, "PQgetCancel");
  find(pq.free_cancel, "PQfreeCancel");
  find(pq.cancel, "PQcancel");
  find(pq.socket, "PQsocket");
  find(pq.consume_input, "PQconsumeInput");
  find(pq.notifies, "PQnotifies");
  find(pq.freemem, "PQfreemem");
  if (!missing.empty()) {
    return absl::UnavailableError(StrCat("PostgreSQL's client library has no ", missing));
  }
  return pq;
}

}  // namespace

absl::StatusOr<const Libpq*> LoadLibpq() {
  // Never unloaded: connections of any thread may outlive whoever asked first.
  static const auto* const loaded = new absl::StatusOr<Libpq>(Load());
  if (!loaded->ok()) return loaded->status();
  return &**loaded;
}

absl::StatusOr<Libpq::Connection> Libpq::Connect(const std::string& url) const {
  Connection connection(connectdb(url.c_str()), Free{this});
  if (connection == nullptr) return absl::UnavailableError("out of memory");
  if (status(connection.get()) != CONNECTION_OK) {
    return absl::UnavailableError(error_message(connection.get()));
  }
  set_error_verbosity(connection.get(), PQERRORS_TERSE);
  // Otherwise it writes them to stderr.
  set_notice_processor(
      connection.get(), [](void*, const char*) {}, nullptr);
  return connection;
}

}  // namespace metamcp::db
