#pragma once

#include "cli/command.h"

// One function for each group of commands; AddCommands calls them all.
namespace metamcp::cli {

void AddServerCommands(Command& root);
void AddServerEditCommands(Command& group);
void AddLoginCommands(Command& group);
void AddSecretCommands(Command& root);
void AddToolCommands(Command& root);
void AddCallCommand(Command& group);
void AddPinCommands(Command& group);
void AddResourceCommands(Command& root);
void AddPromptCommands(Command& root);
void AddVirtualCommands(Command& root);
void AddWorkflowCommands(Command& root);
void AddSuggestCommand(Command& root);
void AddAiCommands(Command& root);
// The parts of it: runs; tools and sharing; templates; schedules, hooks and webhooks.
void AddRunCommands(Command& group);
void AddRunAgainCommands(Command& group);
void AddWorkflowShareCommands(Command& group);
void AddWorkflowTemplateCommands(Command& group);
void AddWorkflowImportCommand(Command& workflow);
void AddWorkflowEventCommands(Command& group);
void AddAuditCommands(Command& root);
// The part of it that proves.
void AddAuditVerifyCommand(Command& group);
void AddAuditHoldCommands(Command& group);
void AddInsightCommands(Command& root);
void AddLogCommands(Command& root);
void AddLimitsCommand(Command& root);
void AddPolicyCommands(Command& root);
// The part of it that looks back.
void AddPolicyReplay(Command& group);
void AddApprovalCommands(Command& root);
void AddSessionCommands(Command& root);
void AddConfigCommands(Command& root);
void AddInitCommand(Command& root);
void AddConnectCommand(Command& root);
void AddCertCommands(Command& root);
void AddTokenCommands(Command& root);
// The part of it that the gateway keeps.
void AddKeyCommands(Command& group);
void AddUserCommands(Command& root);
void AddTeamCommands(Command& root);
void AddDoctorCommand(Command& root);
void AddStdioCommand(Command& root);
void AddServeCommand(Command& root);
void AddMigrateCommand(Command& root);
void AddTranslateCommand(Command& root);
void AddShellCommand(Command& root);
void AddCompletionCommand(Command& root);
void AddVersionCommand(Command& root);

}  // namespace metamcp::cli
