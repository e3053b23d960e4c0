package api

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	v1 "postrider/api/v1"
)

func (s *Server) listAccounts(w http.ResponseWriter, r *http.Request) {
	list, err := s.o.Accounts.List(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, v1.AccountList{Data: list})
}

func (s *Server) createAccount(w http.ResponseWriter, r *http.Request) {
	var a v1.NewAccount
	if !readJSON(w, r, &a) {
		return
	}
	password, err := s.o.Accounts.Create(r.Context(), a)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.o.Logger.Info("account created", "account", a.Name)
	writeJSON(w, http.StatusCreated, v1.Secret{Name: a.Name, Password: password})
}

func (s *Server) changeAccount(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	var c v1.AccountChange
	if !readJSON(w, r, &c) {
		return
	}
	password, err := s.o.Accounts.Change(r.Context(), name, c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.o.Logger.Info("account changed", "account", name)
	writeJSON(w, http.StatusOK, v1.Secret{Name: name, Password: password})
}

func (s *Server) deleteAccount(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	if err := s.o.Accounts.Delete(r.Context(), name); err != nil {
		s.fail(w, r, err)
		return
	}
	s.o.Logger.Info("account deleted", "account", name)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) getRecords(w http.ResponseWriter, r *http.Request) {
	domain := chi.URLParam(r, "domain")
	records, err := s.o.Domains.Records(r.Context(), domain)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, v1.Records{Domain: domain, Data: records})
}
