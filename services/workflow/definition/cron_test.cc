#include "services/workflow/definition/cron.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"

namespace metamcp::workflow {
namespace {

int64_t At(const char* text) {
  absl::Time out;
  std::string why;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &out, &why)) << why;
  return absl::ToUnixMicros(out);
}

std::string After(const char* cron, const char* from) {
  const auto parsed = Cron::Parse(cron);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  if (!parsed.ok()) return "";
  const int64_t next = parsed->Next(At(from));
  if (next == 0) return "never";
  return absl::FormatTime("%Y-%m-%dT%H:%M", absl::FromUnixMicros(next), absl::UTCTimeZone());
}

TEST(CronTest, NamesTheNextTime) {
  EXPECT_EQ(After("* * * * *", "2026-03-01T10:00:00Z"), "2026-03-01T10:01");
  EXPECT_EQ(After("*/15 * * * *", "2026-03-01T10:14:59Z"), "2026-03-01T10:15");
  EXPECT_EQ(After("0 9 * * mon-fri", "2026-03-06T09:00:00Z"), "2026-03-09T09:00");
  EXPECT_EQ(After("30 23 28 feb *", "2026-03-01T00:00:00Z"), "2027-02-28T23:30");
  EXPECT_EQ(After("0 0 29 2 *", "2026-03-01T00:00:00Z"), "2028-02-29T00:00");
  EXPECT_EQ(After("5,35 8-10/2 * * *", "2026-03-01T08:35:00Z"), "2026-03-01T10:05");
  EXPECT_EQ(After("@daily", "2026-12-31T23:59:59Z"), "2027-01-01T00:00");
  EXPECT_EQ(After("0 0 * * 7", "2026-03-01T00:00:00Z"), "2026-03-08T00:00");
}

TEST(CronTest, TimeZonesChangeTheirClocks) {
  absl::TimeZone berlin;
  if (!absl::LoadTimeZone("Europe/Berlin", &berlin)) GTEST_SKIP() << "no tzdata here";
  EXPECT_EQ(After("CRON_TZ=Europe/Berlin 0 6 * * *", "2026-01-01T00:00:00Z"), "2026-01-01T05:00");
  EXPECT_EQ(After("CRON_TZ=Europe/Berlin 0 6 * * *", "2026-07-01T00:00:00Z"), "2026-07-01T04:00");
  // On 29 March 02:00 to 03:00 is left out: at the change, then as ever.
  EXPECT_EQ(After("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z"), "2026-03-29T01:00");
  EXPECT_EQ(After("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-29T01:00:00Z"), "2026-03-30T00:30");
  // On 25 October 02:00 to 03:00 comes twice: once for a named hour, twice for every hour.
  EXPECT_EQ(After("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z"), "2026-10-25T00:30");
  EXPECT_EQ(After("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z"), "2026-10-26T01:30");
  EXPECT_EQ(After("CRON_TZ=Europe/Berlin 30 * * * *", "2026-10-25T00:30:00Z"), "2026-10-25T01:30");
  EXPECT_EQ(After("CRON_TZ=Europe/Berlin @daily", "2026-11-30T12:00:00Z"), "2026-11-30T23:00");
}

TEST(CronTest, TwoRestrictedDaysMeanEither) {
  EXPECT_EQ(After("0 0 13 * fri", "2026-03-01T00:00:00Z"), "2026-03-06T00:00");
  EXPECT_EQ(After("0 0 */10 * fri", "2026-03-06T01:00:00Z"), "2026-05-01T00:00");
}

TEST(CronTest, ATimeThatNeverComesIsNone) {
  EXPECT_EQ(After("0 0 31 2 *", "2026-03-01T00:00:00Z"), "never");
}

TEST(CronTest, RefusesWhatIsNoTime) {
  for (const char* bad :
       {"", "* * * *", "CRON_TZ=Nowhere/Town 0 6 * * *", "CRON_TZ=/etc/passwd 0 6 * * *",
        "CRON_TZ=Europe/Berlin", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
        "5-1 * * * *", "*/0 * * * *", "a * * * *", "1,,2 * * * *", "* * * * * *", "@often"}) {
    EXPECT_FALSE(Cron::Parse(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace metamcp::workflow
