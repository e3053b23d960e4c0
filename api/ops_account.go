package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	v1 "postrider/api/v1"
	"postrider/queue"
)

func (s *Server) accountOperations(r *router) {
	register(r, operation{
		id: "list-accounts", method: http.MethodGet, path: "/v1/accounts", scope: queue.ScopeAccountsRead, operator: true, tag: tagAccounts,
		summary: "List accounts",
	}, s.listAccounts)
	register(r, operation{
		id: "get-account", method: http.MethodGet, path: "/v1/accounts/{name}", scope: queue.ScopeAccountsRead, operator: true, tag: tagAccounts,
		summary: "Show an account",
	}, s.getAccount)
	register(r, operation{
		id: "create-account", method: http.MethodPost, path: "/v1/accounts", status: http.StatusCreated, scope: queue.ScopeAccountsWrite, operator: true, tag: tagAccounts,
		summary: "Create an account", description: "Its password is shown in the answer and never again.", conflicts: true,
	}, s.createAccount)
	register(r, operation{
		id: "change-account", method: http.MethodPatch, path: "/v1/accounts/{name}", scope: queue.ScopeAccountsWrite, operator: true, tag: tagAccounts,
		summary: "Change an account", description: "Changes what is there. A password that is made is shown in the answer and never again.", conflicts: true,
	}, s.changeAccount)
	register(r, operation{
		id: "delete-account", method: http.MethodDelete, path: "/v1/accounts/{name}", status: http.StatusNoContent, scope: queue.ScopeAccountsWrite, operator: true, tag: tagAccounts,
		summary: "Delete an account", description: "Its mail in the queue stays; its keys end.",
	}, s.deleteAccount)
}

func (s *Server) listAccounts(ctx context.Context, _ *struct{}) (*answer[v1.AccountList], error) {
	list, err := s.o.Accounts.List(ctx)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []v1.Account{}
	}
	return answerOf(v1.AccountList{Data: list}), nil
}

func (s *Server) getAccount(ctx context.Context, in *accountInput) (*answer[v1.Account], error) {
	list, err := s.o.Accounts.List(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(a v1.Account) bool { return strings.EqualFold(a.Name, in.Name) })
	if i < 0 {
		return nil, queue.ErrNotFound
	}
	return answerOf(list[i]), nil
}

type createAccountInput struct {
	Account jsonBody[v1.NewAccount]
}

func (s *Server) createAccount(ctx context.Context, in *createAccountInput) (*answer[v1.Secret], error) {
	a := in.Account.Value
	password, err := s.o.Accounts.Create(ctx, a)
	if err != nil {
		return nil, err
	}
	s.o.Logger.Info("account created", "account", a.Name, "actor", actor(ctx))
	return answerOf(v1.Secret{Name: a.Name, Password: password}), nil
}

type changeAccountInput struct {
	Name   string `path:"name" maxLength:"64"`
	Change jsonBody[v1.AccountChange]
}

func (s *Server) changeAccount(ctx context.Context, in *changeAccountInput) (*answer[v1.Secret], error) {
	password, err := s.o.Accounts.Change(ctx, in.Name, in.Change.Value)
	if err != nil {
		return nil, err
	}
	s.o.Logger.Info("account changed", "account", in.Name, "actor", actor(ctx))
	return answerOf(v1.Secret{Name: in.Name, Password: password}), nil
}

type accountInput struct {
	Name string `path:"name" maxLength:"64"`
}

func (s *Server) deleteAccount(ctx context.Context, in *accountInput) (*nothing, error) {
	if err := s.o.Accounts.Delete(ctx, in.Name); err != nil {
		return nil, err
	}
	s.o.Logger.Info("account deleted", "account", in.Name, "actor", actor(ctx))
	return nil, nil
}
