#pragma once

#include <libpq-fe.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace metamcp::db {

// The functions of libpq that the driver uses. The library is loaded when the first PostgreSQL
// database is opened and stays: with what it needs for LDAP and Kerberos it takes 3.5 MB, which a
// process on SQLite should not pay.
struct Libpq {
  decltype(&::PQconnectdb) connectdb;
  decltype(&::PQfinish) finish;
  decltype(&::PQstatus) status;
  decltype(&::PQerrorMessage) error_message;
  decltype(&::PQsetErrorVerbosity) set_error_verbosity;
  decltype(&::PQsetNoticeProcessor) set_notice_processor;
  decltype(&::PQexec) exec;
  decltype(&::PQprepare) prepare;
  decltype(&::PQexecPrepared) exec_prepared;
  decltype(&::PQresultStatus) result_status;
  decltype(&::PQresultErrorMessage) result_error_message;
  decltype(&::PQresultErrorField) result_error_field;
  decltype(&::PQclear) clear;
  decltype(&::PQcmdTuples) cmd_tuples;
  decltype(&::PQntuples) ntuples;
  decltype(&::PQnfields) nfields;
  decltype(&::PQfname) fname;
  decltype(&::PQftype) ftype;
  decltype(&::PQgetisnull) getisnull;
  decltype(&::PQgetvalue) getvalue;
  decltype(&::PQgetlength) getlength;
  decltype(&::PQgetCancel) get_cancel;
  decltype(&::PQfreeCancel) free_cancel;
  decltype(&::PQcancel) cancel;
  decltype(&::PQsocket) socket;
  decltype(&::PQconsumeInput) consume_input;
  decltype(&::PQnotifies) notifies;
  decltype(&::PQfreemem) freemem;

  // A result or connection that is freed by itself.
  struct Free {
    void operator()(PGconn* c) const { pq->finish(c); }
    void operator()(PGresult* r) const { pq->clear(r); }
    void operator()(PGcancel* c) const { pq->free_cancel(c); }
    void operator()(PGnotify* n) const { pq->freemem(n); }
    const Libpq* pq;
  };
  using Connection = std::unique_ptr<PGconn, Free>;
  using Result = std::unique_ptr<PGresult, Free>;
  using Cancel = std::unique_ptr<PGcancel, Free>;
  using Notify = std::unique_ptr<PGnotify, Free>;

  // Connects, blocking. Errors: UNAVAILABLE with libpq's words, which may name the host and user.
  absl::StatusOr<Connection> Connect(const std::string& url) const;
};

// Loads the library at the first call. Errors: UNAVAILABLE when it is not installed. Thread: any.
absl::StatusOr<const Libpq*> LoadLibpq();

}  // namespace metamcp::db
