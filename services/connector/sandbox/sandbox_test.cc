#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "services/connector/sandbox/cgroup.h"
#include "services/connector/sandbox/egress_proxy.h"
#include "services/connector/sandbox/machine.h"
#include "services/connector/sandbox/needs.h"
#include "services/connector/sandbox/plan.h"
#include "services/connector/sandbox/profile.h"
#include "services/connector/sandbox/proxy_request.h"
#include "services/connector/sandbox/runner.h"

namespace metamcp::connector::sandbox {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;
using metamcp::catalog::v1::UpstreamSandbox;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "metamcp-sandbox-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(*this / name).parent_path());
    std::ofstream(*this / name) << text;
    fs::permissions(*this / name, fs::perms::owner_all);
  }
  std::string Read(const std::string& name) const {
    std::ifstream in(*this / name);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }

 private:
  std::string path_;
};

TEST(SandboxProfile, OwnProfilesAddToWhatTheyAreBasedOn) {
  config::SandboxConfig settings;
  settings.profile = "data";
  auto& own = settings.profiles["data"];
  own.read = {"/srv/${KIND}/"};
  own.network = {"api.example.com:443"};
  own.memory_bytes = 1 << 20;
  UpstreamSandbox spec;
  spec.add_write("/srv/out");
  const auto profile = ResolveProfile(settings, spec, {{"KIND", "books"}});
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->name, "data");
  EXPECT_TRUE(profile->confined);
  EXPECT_THAT(profile->read, ElementsAre("/srv/books"));
  EXPECT_THAT(profile->write, ElementsAre("/srv/out"));
  EXPECT_THAT(profile->allowed, ElementsAre("api.example.com:443"));
  EXPECT_EQ(profile->memory_bytes, 1 << 20);
  EXPECT_EQ(profile->processes, 128);  // of strict
  EXPECT_FALSE(profile->host_network);
}

TEST(SandboxProfile, RefusesWhatCannotBeMeant) {
  const config::SandboxConfig settings;
  const auto refused = [&settings](auto change) {
    UpstreamSandbox spec;
    spec.set_profile("strict");
    change(spec);
    return !ResolveProfile(settings, spec, {}).ok();
  };
  EXPECT_TRUE(refused([](auto& s) { s.set_profile("unknown"); }));
  EXPECT_TRUE(refused([](auto& s) { s.add_write("/"); }));
  EXPECT_TRUE(refused([](auto& s) { s.add_write("relative"); }));
  EXPECT_TRUE(refused([](auto& s) { s.add_read("/srv/../etc"); }));
  EXPECT_TRUE(refused([](auto& s) { s.add_read("/srv/${MISSING}"); }));
  EXPECT_TRUE(refused([](auto& s) { s.add_network("example.com"); }));
  EXPECT_TRUE(refused([](auto& s) {
    s.add_network("host");
    s.add_network("a:1");
  }));
  // Rules that nobody would enforce are no rules.
  EXPECT_TRUE(refused([](auto& s) {
    s.set_profile("none");
    s.add_write("/srv");
  }));
  EXPECT_FALSE(refused([](auto&) {}));
}

TEST(SandboxProfile, KnowsUnpinnedCommands) {
  const auto pinned = [](const std::string& command, std::vector<std::string> args) {
    std::string mend;
    const bool good = IsPinned(command, args, &mend);
    EXPECT_NE(good, !mend.empty());
    return good;
  };
  EXPECT_TRUE(pinned("npx", {"-y", "@scope/server@1.2.3", "--flag"}));
  EXPECT_TRUE(pinned("npx", {"--package=@scope/server@1.2.3", "server"}));
  EXPECT_TRUE(pinned("uvx", {"mcp-server-git==2026.1.0"}));
  EXPECT_TRUE(pinned("uvx", {"--python", "3.12", "--from", "pkg==1.0", "tool"}));
  EXPECT_TRUE(pinned("uvx", {"ruff@0.5.1"}));
  EXPECT_TRUE(pinned("docker", {"run", "-i", "--rm", "-e", "A=b", "mcp/git@sha256:00ff"}));
  EXPECT_TRUE(pinned("docker", {"ps"}));
  EXPECT_TRUE(pinned("node", {"server.js"}));
  EXPECT_TRUE(pinned("npx", {"/opt/server"}));
  EXPECT_FALSE(pinned("npx", {"-y", "@scope/server"}));
  EXPECT_FALSE(pinned("/usr/bin/npx", {"server@latest"}));
  EXPECT_FALSE(pinned("npx", {"server@^1.2.3"}));
  EXPECT_FALSE(pinned("npx", {"server@1"}));
  EXPECT_FALSE(pinned("npx", {"-p", "server", "tool@1.2.3"}));
  EXPECT_FALSE(pinned("npm", {"exec", "server"}));
  EXPECT_FALSE(pinned("uvx", {"mcp-server-git"}));
  EXPECT_FALSE(pinned("uvx", {"--from", "git+https://example.com/x", "x"}));
  EXPECT_FALSE(pinned("uv", {"tool", "run", "mcp-server-git"}));
  EXPECT_FALSE(pinned("uvx", {"pkg>=1.0.0"}));
  EXPECT_FALSE(pinned("docker", {"run", "mcp/git:latest"}));
}

TEST(EgressRules, NamesGoToPublicAddressesOnly) {
  const EgressRules rules({"api.example.com:443", "*.cdn.example.com:443", "10.0.0.5:5432"});
  http::AddressRule rule = http::AddressRule::kAny;
  EXPECT_TRUE(rules.Allows("API.example.com.", 443, &rule));
  EXPECT_EQ(rule, http::AddressRule::kPublic);
  EXPECT_TRUE(rules.Allows("a.cdn.example.com", 443, &rule));
  EXPECT_TRUE(rules.Allows("10.0.0.5", 5432, &rule));
  EXPECT_EQ(rule, http::AddressRule::kAny);
  EXPECT_FALSE(rules.Allows("api.example.com", 80, &rule));
  EXPECT_FALSE(rules.Allows("cdn.example.com", 443, &rule));
  EXPECT_FALSE(rules.Allows("evilcdn.example.com", 443, &rule));
  EXPECT_FALSE(rules.Allows("api.example.com.evil.com", 443, &rule));
  EXPECT_FALSE(rules.Allows("10.0.0.6", 5432, &rule));
  EXPECT_FALSE(rules.Allows("", 443, &rule));
}

TEST(EgressRules, PublicIsTwoPortsAndNoLinkLocalAddress) {
  const EgressRules rules({"public", "169.254.169.254:80", "[fe80::1]:80"});
  http::AddressRule rule = http::AddressRule::kAny;
  EXPECT_TRUE(rules.Allows("example.com", 443, &rule));
  EXPECT_EQ(rule, http::AddressRule::kPublic);
  EXPECT_FALSE(rules.Allows("example.com", 22, &rule));
  EXPECT_FALSE(rules.Allows("169.254.169.254", 80, &rule));
  EXPECT_FALSE(rules.Allows("::ffff:169.254.169.254", 80, &rule));
  EXPECT_FALSE(rules.Allows("fe80::1", 80, &rule));
}

TEST(ProxyRequest, ConnectAndPlainRequests) {
  const auto connect = ReadProxyRequest("CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(connect.has_value());
  EXPECT_TRUE(connect->connect);
  EXPECT_EQ(connect->host, "::1");
  EXPECT_EQ(connect->port, 443);
  const auto plain = ReadProxyRequest(
      "GET http://Example.com:81/a?b HTTP/1.1\r\nHost: other\r\nProxy-Authorization: x\r\n"
      "Connection: keep-alive\r\nAccept: */*\r\n\r\n");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(
      plain->head,
      "GET /a?b HTTP/1.1\r\nHost: example.com:81\r\nAccept: */*\r\nConnection: close\r\n\r\n");
}

TEST(ProxyRequest, RefusesEverythingElse) {
  for (const char* head :
       {"", "\r\n\r\n", "CONNECT example.com HTTP/1.1\r\n\r\n", "CONNECT :443 HTTP/1.1\r\n\r\n",
        "CONNECT a@b:443 HTTP/1.1\r\n\r\n", "CONNECT a:0 HTTP/1.1\r\n\r\n",
        "CONNECT a:99999 HTTP/1.1\r\n\r\n", "GET /path HTTP/1.1\r\n\r\n",
        "GET https://example.com/ HTTP/1.1\r\n\r\n", "GET ftp://example.com/ HTTP/1.1\r\n\r\n",
        "GET http://u:p@example.com/ HTTP/1.1\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\nBad Field: x\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\nX: a\nHost: evil\r\n\r\n",
        "GET http://example.com/ SPDY\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\n"}) {
    EXPECT_FALSE(ReadProxyRequest(head).has_value()) << head;
  }
}

TEST(SandboxNeeds, TreesOfProgramsAndPackages) {
  const Folder folder;
  folder.Write("tool/bin/run", "#!/usr/bin/env interpreter\n");
  folder.Write("lang/bin/interpreter",
               "\x7f"
               "ELF");
  folder.Write("app/package.json", "{}");
  folder.Write("app/dist/index.js", "1");
  folder.Write("m/node_modules/@a/b/dist/index.js", "1");
  fs::create_symlink(folder / "tool/bin/run", folder / "link");
  const auto program = FindNeeds(folder / "link", {}, "", folder / "lang/bin");
  EXPECT_THAT(program.read, ElementsAre(folder / "lang", folder / "link", folder / "tool"));
  const auto script = FindNeeds("/usr/bin/env", {"--flag", folder / "app/dist/index.js"}, "", "");
  EXPECT_THAT(script.read, ElementsAre(folder / "app"));
  const auto module =
      FindNeeds("/usr/bin/env", {folder / "m/node_modules/@a/b/dist/index.js", "/etc"}, "", "");
  EXPECT_THAT(module.read, ElementsAre(folder / "m/node_modules"));
}

TEST(SandboxNeeds, NeverAHome) {
  const Folder folder;
  const char* const before = ::getenv("HOME");
  const std::string home = before == nullptr ? "" : before;
  ::setenv("HOME", (folder / "home").c_str(), 1);
  folder.Write("home/bin/tool", "x");
  folder.Write("home/.local/bin/uvx", "x");
  folder.Write("home/.local/bin/uv", "x");
  folder.Write("home/server.py", "x");
  EXPECT_THAT(FindNeeds(folder / "home/bin/tool", {}, folder / "home", "").read,
              ElementsAre(folder / "home/bin/tool"));
  EXPECT_THAT(FindNeeds(folder / "home/.local/bin/uvx", {}, "", "").read,
              ElementsAre(folder / "home/.local/bin/uv", folder / "home/.local/bin/uvx"));
  EXPECT_THAT(FindNeeds("/usr/bin/env", {folder / "home/server.py"}, "", "").read,
              ElementsAre(folder / "home/server.py"));
  ::setenv("HOME", home.c_str(), 1);
}

TEST(SandboxCgroup, Version2WhereItIsDelegated) {
  const Folder folder;
  folder.Write("self/cgroup", "0::/user/meta.service\n");
  folder.Write("sys/user/meta.service/cgroup.controllers", "cpu memory pids\n");
  folder.Write("sys/user/meta.service/cgroup.subtree_control", "");
  folder.Write("sys/user/meta.service/gateway/cgroup.procs", "");
  folder.Write("sys/user/meta.service/one/memory.max", "max");
  folder.Write("sys/user/meta.service/one/memory.swap.max", "max");
  folder.Write("sys/user/meta.service/one/pids.max", "max");
  folder.Write("sys/user/meta.service/one/cgroup.kill", "");
  EXPECT_EQ(FindCgroupSite(folder / "self", folder / "sys", CgroupUse::kLook).version, 2);
  EXPECT_EQ(folder.Read("sys/user/meta.service/gateway/cgroup.procs"), "");
  const CgroupSite site = FindCgroupSite(folder / "self", folder / "sys", CgroupUse::kUse);
  EXPECT_EQ(site.version, 2);
  EXPECT_TRUE(site.memory && site.pids);
  EXPECT_EQ(folder.Read("sys/user/meta.service/gateway/cgroup.procs"), "0");
  EXPECT_EQ(folder.Read("sys/user/meta.service/cgroup.subtree_control"), "+memory +pids");
  {
    const auto group = Cgroup::Make(site, "one", 1 << 20, 7);
    ASSERT_TRUE(group.ok()) << group.status();
    EXPECT_EQ(folder.Read("sys/user/meta.service/one/memory.max"), "1048576");
    EXPECT_EQ(folder.Read("sys/user/meta.service/one/memory.swap.max"), "0ax");
    EXPECT_EQ(folder.Read("sys/user/meta.service/one/pids.max"), "7ax");
    EXPECT_THAT((*group)->entrances(),
                ElementsAre(folder / "sys/user/meta.service/one/cgroup.procs"));
  }
  EXPECT_EQ(folder.Read("sys/user/meta.service/one/cgroup.kill"), "1");
}

TEST(SandboxCgroup, Version1AndNone) {
  const Folder folder;
  folder.Write("self/cgroup", "4:memory:/\n3:pids:/a\n2:cpu,cpuacct:/\n0::/\n");
  folder.Write("sys/memory/x", "");
  folder.Write("sys/pids/a/x", "");
  const CgroupSite site = FindCgroupSite(folder / "self", folder / "sys", CgroupUse::kUse);
  EXPECT_EQ(site.version, 1);
  EXPECT_THAT(site.roots, ElementsAre(folder / "sys/memory", folder / "sys/pids/a"));
  EXPECT_TRUE(site.memory && site.pids);
  folder.Write("empty/cgroup", "0::/\n");
  const CgroupSite none = FindCgroupSite(folder / "empty", folder / "nowhere", CgroupUse::kUse);
  EXPECT_EQ(none.version, 0);
  EXPECT_NE(none.why, "");
}

TEST(SandboxPlan, NothingOfTheServerIsInArguments) {
  Machine machine;
  machine.bwrap = "/usr/bin/bwrap";
  UpstreamSandbox spec;
  spec.set_profile("strict");
  const auto profile = ResolveProfile({}, spec, {});
  StartOptions start;
  start.command = "tool";
  start.file = "/usr/bin/true";
  start.args = {"--token=planted-secret"};
  start.env = {{"KEY", "planted-secret"}, {"LD_PRELOAD", "/tmp/evil.so"}};
  const auto plan = MakePlan(machine, *profile, start);
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const auto& list : {plan->args, plan->env}) {
    for (const std::string& word : list) {
      EXPECT_THAT(word, Not(HasSubstr("planted-secret")));
      EXPECT_THAT(word, Not(HasSubstr("evil")));
    }
  }
  EXPECT_THAT(plan->args, Contains("--unshare-net"));
  EXPECT_THAT(plan->args, Not(Contains("--bind")));
  start.env["BAD"] = std::string("a\0b", 3);
  EXPECT_FALSE(MakePlan(machine, *profile, start).ok());
}

TEST(SandboxMachine, SaysWhatItEnforces) {
  const Machine machine = ProbeBlocking(CgroupUse::kLook);
  if (machine.bwrap.empty()) GTEST_SKIP() << machine.why;
  const std::string said = Describe(machine);
  EXPECT_EQ(machine.confines, said.find("none: ") != 0) << said;
  EXPECT_EQ(machine.confines, machine.why.empty()) << machine.why;
}

class RunnerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Runner> Make(config::SandboxConfig settings, Machine machine) {
    return std::make_unique<Runner>(io_.get_executor(), tasks_, std::move(settings),
                                    std::move(machine));
  }
  static UpstreamSandbox Named(const std::string& profile) {
    UpstreamSandbox spec;
    spec.set_profile(profile);
    return spec;
  }
  static SpawnOptions Command(const std::string& command, std::vector<std::string> args = {}) {
    SpawnOptions options;
    options.command = command;
    options.args = std::move(args);
    return options;
  }
  boost::asio::io_context io_{1};
  TaskGroup tasks_{io_.get_executor()};
};

TEST_F(RunnerTest, WhatCannotBeEnforcedDoesNotStart) {
  RecordProperty("req", "NFR-004");
  Machine machine;
  machine.why = "no user name spaces";
  const auto careful = Make({}, machine);
  const auto refused = careful->Plan("a", Command("/bin/true"), Named("strict"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("no user name spaces"));
  EXPECT_TRUE(careful->Plan("a", Command("/bin/true"), Named("none")).ok());
  EXPECT_EQ(careful->Shown(Named("none")), "none");
  config::SandboxConfig settings;
  settings.unsafe = true;
  const auto careless = Make(settings, machine);
  EXPECT_TRUE(careless->Plan("a", Command("/bin/true"), Named("strict")).ok());
  EXPECT_THAT(careless->Shown(Named("strict")), HasSubstr("unsafe: strict is not enforced"));
}

TEST_F(RunnerTest, ALimitThatNobodyEnforcesIsSaid) {
  Machine machine;
  machine.bwrap = "/usr/bin/bwrap";
  machine.confines = true;
  const auto runner = Make({}, machine);
  const auto refused = runner->Plan("a", Command("/bin/true"), Named("strict"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("no limit of processes"));
}

TEST_F(RunnerTest, ProductionWantsASandboxAndExactVersions) {
  config::SandboxConfig settings;
  settings.production = true;
  Machine machine;
  machine.bwrap = "/usr/bin/bwrap";
  machine.confines = machine.limits_processes = true;
  const auto runner = Make(settings, machine);
  EXPECT_THAT(
      std::string(runner->Plan("a", Command("/bin/true"), Named("none")).status().message()),
      HasSubstr("without a sandbox"));
  EXPECT_THAT(std::string(runner->Plan("a", Command("npx", {"-y", "x@latest"}), Named("strict"))
                              .status()
                              .message()),
              HasSubstr("x@1.2.3"));
  EXPECT_TRUE(runner->Plan("a", Command("/bin/true"), Named("strict")).ok());
  EXPECT_FALSE(runner->Plan("a", Command("/no/such/program"), Named("strict")).ok());
}

TEST_F(RunnerTest, SecretsAreNoVariables) {
  Machine machine;
  machine.bwrap = "/usr/bin/bwrap";
  machine.confines = machine.limits_processes = true;
  const config::Environment environment = {{"secret:TOK", "planted"}, {"SEEN", "value"}};
  const auto runner = Make({}, machine);
  runner->UseEnvironment(environment);
  UpstreamSandbox spec = Named("strict");
  spec.add_env("secret:TOK");
  spec.add_env("SEEN");
  const auto plan = runner->Plan("a", Command("/bin/true"), spec);
  ASSERT_TRUE(plan.ok()) << plan.status();
  std::string orders(64 << 10, '\0');
  const ssize_t n = ::pread(plan->fds[1], orders.data(), orders.size(), 0);
  orders.resize(static_cast<size_t>(n));
  EXPECT_THAT(orders, HasSubstr("ESEEN=value"));
  EXPECT_THAT(orders, Not(HasSubstr("planted")));
}

}  // namespace
}  // namespace metamcp::connector::sandbox
